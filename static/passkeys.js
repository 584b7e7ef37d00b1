// Passkeys: asks the browser for one, and sends what it answers with the form. A form says what to ask
// in `data-options`; passwords and codes work without any of this.

const MINUTE = 60_000;
// The server takes an answer for five minutes.
const FRESH = 4 * MINUTE;
const isKnown = window.isSecureContext && "credentials" in navigator && typeof window.PublicKeyCredential === "function";

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));

function text(buffer) {
  let binary = "";
  for (const byte of new Uint8Array(buffer)) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** What the form asks for, as the browser wants it: bytes instead of text. */
function question(form) {
  const options = JSON.parse(form.dataset.options);
  options.challenge = bytes(options.challenge);
  if (options.user) options.user.id = bytes(options.user.id);
  for (const key of [...(options.excludeCredentials ?? []), ...(options.allowCredentials ?? [])]) key.id = bytes(key.id);
  return options;
}

/** What the browser answered, as the server wants it: text instead of bytes. */
function answer(credential) {
  const given = credential.response;
  const response = { clientDataJSON: text(given.clientDataJSON) };
  if (given.attestationObject) {
    response.attestationObject = text(given.attestationObject);
    response.transports = given.getTransports?.() ?? [];
  } else {
    response.authenticatorData = text(given.authenticatorData);
    response.signature = text(given.signature);
    response.userHandle = given.userHandle ? text(given.userHandle) : null;
  }
  return JSON.stringify({ id: credential.id, rawId: text(credential.rawId), type: credential.type, response });
}

function say(form, words) {
  const note = form.querySelector("[data-passkey-says]");
  note.textContent = words;
  note.hidden = words === "";
}

function why(error) {
  switch (error?.name) {
    case "InvalidStateError": return "This device or key has a passkey of yours already.";
    case "SecurityError": return `Passkeys do not work at the address ${location.host}.`;
    case "NotSupportedError": return "This device or key makes no passkeys of a kind that is known here.";
    case "NotAllowedError": return "That was cancelled, took too long, or there is no passkey for it here. Please try again.";
    default: return "That did not work. Please try again.";
  }
}

/** A page that has been open for long asks for a new challenge, from the address that its form names. */
async function renew(form) {
  const age = Date.now() - Number(form.dataset.since);
  if (age < FRESH || !("renew" in form.dataset)) return;
  const response = await fetch(form.dataset.renew || location.href, { headers: { accept: "text/html" } });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.querySelector(`form[data-passkey][action="${form.getAttribute("action")}"]`);
  if (!fresh) {
    location.reload();
    return;
  }
  form.dataset.options = fresh.dataset.options;
  form.elements.proof.value = fresh.elements.proof.value;
  form.dataset.since = Date.now();
}

function send(form, credential) {
  form.elements.passkey.value = answer(credential);
  // What else was said on this page goes along.
  const remember = form.elements.remember;
  if (remember && !("kept" in remember.dataset)) {
    remember.disabled = !document.querySelector("input[type=checkbox][name=remember]")?.checked;
  }
  const password = form.elements.password;
  if (password) password.value = document.querySelector("input[type=password]")?.value ?? "";
  form.submit();
}

let waiting = new AbortController();

async function ask(form) {
  const button = form.querySelector("button");
  waiting.abort();
  say(form, "");
  button.disabled = true;
  try {
    await renew(form);
    const publicKey = question(form);
    const how = { publicKey };
    send(form, form.dataset.passkey === "create" ? await navigator.credentials.create(how) : await navigator.credentials.get(how));
  } catch (error) {
    say(form, why(error));
    button.disabled = false;
  }
}

/** Offers passkeys where the browser offers names, for as long as nobody asks for one by the button. */
async function offer(form) {
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  for (;;) {
    waiting = new AbortController();
    const { signal } = waiting;
    const old = setTimeout(() => waiting.abort("old"), FRESH);
    try {
      const credential = await navigator.credentials.get({ publicKey: question(form), mediation: "conditional", signal });
      if (credential) send(form, credential);
      return;
    } catch {
      if (signal.reason !== "old") return;
      await renew(form);
    } finally {
      clearTimeout(old);
    }
  }
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  const missing = form.querySelector("[data-passkey-missing]");
  if (!isKnown) {
    missing.textContent = "This browser has no passkeys, or not at this address.";
    continue;
  }
  missing.hidden = true;
  for (const element of form.querySelectorAll("[data-passkey-ready]")) element.hidden = false;
  form.dataset.since = Date.now();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(form);
  });
  if ("offer" in form.dataset) offer(form);
}
