// Starts Swagger UI on this server's own description. A request made from the page with a session
// sends the CSRF secret along, as authentik's clients do.
const csrf = () => /(?:^|; )authentik_csrf=([^;]*)/.exec(document.cookie)?.[1];

SwaggerUIBundle({
  url: "/api/v3/schema/",
  dom_id: "#browser",
  deepLinking: true,
  // Some three hundred operations, drawn at once, take a browser seconds.
  docExpansion: "none",
  validatorUrl: null,
  requestInterceptor(request) {
    const secret = csrf();
    if (secret) request.headers["X-authentik-CSRF"] = secret;
    return request;
  },
});
