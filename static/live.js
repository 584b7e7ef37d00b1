// The table as it changes. New sessions slide in, ended ones are struck through with the reason, and
// nothing moves while it is paused or out of sight.
import { tell } from "./ROLLCALL_JS";

const button = document.querySelector("[data-live]");
const body = document.querySelector("#sessions tbody");
const STRUCK = 8000;
// Counts are fetched at most so often, and less often where counting takes long.
const REST = 4000;
const SHARE = 20;

if (button) {
  const word = button.querySelector("span");
  const html = new Map();
  let source = null;
  let isWanted = true;

  const show = (state, text) => {
    button.dataset.state = state;
    button.setAttribute("aria-pressed", String(isWanted));
    word.textContent = text;
  };

  const row = (text) => {
    const template = document.createElement("template");
    template.innerHTML = text;
    const element = template.content.querySelector("tr");
    tell(element);
    return element;
  };

  const strike = (element, why) => {
    element.classList.add("ended");
    element.querySelector("input")?.remove();
    const note = document.createElement("span");
    note.className = "why";
    note.textContent = ` ${why}`;
    element.querySelector("th").append(note);
    setTimeout(() => element.remove(), STRUCK);
  };

  let timer = null;
  let rest = 0;
  let last = -REST;

  /** Puts counts in place of those that show. The focus stays on the link that has it; while that is
      not among them, they wait. */
  const replace = (text) => {
    const template = document.createElement("template");
    template.innerHTML = text;
    for (const fresh of template.content.querySelectorAll(".count, .facets")) {
      const old = document.querySelector(`.${fresh.classList[0]}`);
      if (!old || old.isEqualNode(fresh)) continue;
      const href = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      const next = href && fresh.querySelector(`a[href="${CSS.escape(href)}"]`);
      if (href && !next) continue;
      old.replaceWith(fresh);
      next?.focus({ preventScroll: true });
    }
  };

  const recount = async () => {
    timer = null;
    if (!source) return;
    const began = performance.now();
    try {
      const answer = await fetch(button.dataset.counts);
      const isPage = answer.ok && !answer.redirected;
      if (isPage && source) replace(await answer.text());
    } catch {
      // The server is away; the next change tries again.
    }
    rest = Math.max(REST, (performance.now() - began) * SHARE);
    last = performance.now();
  };

  const countSoon = () => {
    timer ??= setTimeout(recount, Math.max(0, last + rest - performance.now()));
  };

  const take = (event) => {
    const { count, rows, gone } = JSON.parse(event.data);
    for (const element of document.querySelectorAll("[data-count]")) element.textContent = count;
    // A page that showed nothing, or has something to show now, is drawn by the server.
    if (!body) {
      if (rows.length > 0) location.reload();
      return;
    }
    const isFirst = html.size === 0;
    if (!isFirst) countSoon();
    const there = new Map([...body.rows].map((element) => [element.dataset.id, element]));
    const why = new Map(gone.map((one) => [one.id, one.why]));
    const now = new Set(rows.map((one) => one.id));
    for (const [id, element] of there) {
      if (now.has(id) || element.classList.contains("ended")) continue;
      if (why.has(id)) strike(element, why.get(id));
      else element.remove();
    }
    let before = null;
    for (const one of rows) {
      let element = there.get(one.id);
      if (!element) {
        element = row(one.html);
        if (!isFirst) element.classList.add("new");
      } else if (html.get(one.id) !== one.html && !element.contains(document.activeElement)) {
        const fresh = row(one.html);
        const box = element.querySelector("input");
        const freshBox = fresh.querySelector("input");
        if (box && freshBox) freshBox.checked = box.checked;
        element.replaceWith(fresh);
        element = fresh;
      }
      html.set(one.id, one.html);
      const next = before ? before.nextElementSibling : body.firstElementChild;
      let place = next;
      while (place && place.classList.contains("ended")) place = place.nextElementSibling;
      if (place !== element) body.insertBefore(element, place);
      before = element;
    }
  };

  const open = () => {
    if (source || !isWanted || document.hidden) return;
    source = new EventSource(button.dataset.live);
    source.addEventListener("open", () => show("on", "Live"));
    source.addEventListener("rows", take);
    source.addEventListener("changed", countSoon);
    source.addEventListener("error", () => {
      // The server ended it: too many views are open, or the session is over.
      if (source?.readyState === EventSource.CLOSED) {
        source = null;
        isWanted = false;
        show("off", "Not live");
      }
    });
  };

  const close = () => {
    source?.close();
    source = null;
    clearTimeout(timer);
    timer = null;
  };

  button.addEventListener("click", () => {
    isWanted = !isWanted;
    if (isWanted) {
      show("on", "Live");
      open();
    } else {
      close();
      show("off", "Paused");
    }
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  show("on", "Live");
  open();
}
