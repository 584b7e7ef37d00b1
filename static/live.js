// The table as it changes. New sessions slide in, ended ones are struck through with the reason. While a row
// is ticked, pointed at or has the focus, rows stay where they are: a button says what is new, and shows it.
import { follow, recount as countTicks, tell } from "./ROLLCALL_JS";

const button = document.querySelector("[data-live]");
const body = document.querySelector("#sessions tbody");
const news = document.querySelector("[data-news]");
const form = body?.closest("form");
const STRUCK = 8000;
// Counts are fetched at most this often, and less often where counting takes long.
const REST = 4000;
const SHARE = 20;

if (button) {
  const html = new Map();

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
    countTicks(form);
    const note = document.createElement("span");
    note.className = "why";
    note.textContent = ` ${why}`;
    element.querySelector("th").append(note);
    setTimeout(() => leave(element), STRUCK);
  };

  /** Takes a struck row away, once nobody is at the table. */
  const leave = (element) => {
    if (isBusy()) setTimeout(() => leave(element), 1000);
    else element.remove();
  };

  /** Whether somebody is about to do something with a row. */
  const isBusy = () =>
    body.matches(":hover") || body.contains(document.activeElement) || body.querySelector("input:checked") !== null;

  // What the table shall show, while it waits.
  let waiting = null;

  const announce = () => {
    const there = new Set([...body.rows].map((element) => element.dataset.id));
    const count = waiting.rows.filter((one) => !there.has(one.id)).length;
    const isMoved = waiting.rows.map((one) => one.id).join() !== [...body.rows].filter((element) => !element.classList.contains("ended")).map((element) => element.dataset.id).join();
    const text = count > 0 ? `${count} new: show` : "Order changed: show";
    news.hidden = !isMoved;
    if (news.textContent !== text) news.textContent = text;
  };

  const showWaiting = () => {
    if (!waiting) return;
    const { rows } = waiting;
    waiting = null;
    news.hidden = true;
    arrange(rows);
  };

  const showWhenFree = () => { if (waiting && !isBusy()) showWaiting(); };

  if (news && body) {
    news.addEventListener("click", showWaiting);
    body.addEventListener("pointerleave", () => setTimeout(showWhenFree, 300));
    body.addEventListener("focusout", () => setTimeout(showWhenFree, 300));
    document.addEventListener("change", () => setTimeout(showWhenFree, 300));
  }

  /** A ticked row that leaves the page stays ticked, as a field of the form. */
  const keepTick = (id) => {
    const field = document.createElement("input");
    Object.assign(field, { type: "hidden", name: "id", value: id });
    form.append(field);
  };

  const keptTick = (id) => form.querySelector(`input[type="hidden"][name="id"][value="${CSS.escape(id)}"]`);

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
    if (!stream.isOpen()) return;
    const began = performance.now();
    try {
      const answer = await fetch(button.dataset.counts);
      const isPage = answer.ok && !answer.redirected;
      if (isPage && stream.isOpen()) replace(await answer.text());
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
    for (const { id, why } of gone) {
      const element = there.get(id);
      if (element && !element.classList.contains("ended")) strike(element, why);
      keptTick(id)?.remove();
    }
    countTicks(form);
    if (isFirst || !news || !isBusy()) {
      waiting = null;
      if (news) news.hidden = true;
      arrange(rows, isFirst);
    } else {
      waiting = { rows };
      for (const one of rows) refresh(there.get(one.id), one);
      announce();
    }
  };

  /** Puts a row's new words in its place; not while it has the focus. */
  const refresh = (element, one) => {
    if (!element || html.get(one.id) === one.html || element.contains(document.activeElement)) return element;
    const fresh = row(one.html);
    const box = element.querySelector("input");
    const freshBox = fresh.querySelector("input");
    if (box && freshBox) freshBox.checked = box.checked;
    element.replaceWith(fresh);
    html.set(one.id, one.html);
    return fresh;
  };

  /** Shows these rows and no others, in this order. */
  const arrange = (rows, isFirst = false) => {
    const there = new Map([...body.rows].map((element) => [element.dataset.id, element]));
    const now = new Set(rows.map((one) => one.id));
    for (const [id, element] of there) {
      if (now.has(id) || element.classList.contains("ended")) continue;
      if (element.querySelector("input:checked")) keepTick(id);
      element.remove();
    }
    let before = null;
    for (const one of rows) {
      let element = there.get(one.id);
      if (element) {
        element = refresh(element, one);
      } else {
        element = row(one.html);
        if (!isFirst) element.classList.add("new");
        const kept = form && keptTick(one.id);
        const box = element.querySelector("input");
        if (kept && box) {
          box.checked = true;
          kept.remove();
        }
      }
      html.set(one.id, one.html);
      const next = before ? before.nextElementSibling : body.firstElementChild;
      let place = next;
      while (place && place.classList.contains("ended")) place = place.nextElementSibling;
      if (place !== element) body.insertBefore(element, place);
      before = element;
    }
    countTicks(form);
  };

  const stream = follow(button, { rows: take, changed: countSoon }, () => {
    clearTimeout(timer);
    timer = null;
  });
}
