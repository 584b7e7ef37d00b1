// The table of events as it grows. While a row is pointed at or has the focus, the rows stay where they are: a button
// says how many are new, and shows them.
import { follow, tell } from "./ROLLCALL_JS";

const button = document.querySelector("[data-live]");
const body = document.querySelector("#events tbody");
const news = document.querySelector("[data-news]");
const reload = document.querySelector("[data-reload]");
// A page that lies open for days shows no more than this.
const MOST = 500;

if (button) {
  // What the table shall show, while it waits: the latest first.
  let waiting = [];

  const isBusy = () => body.matches(":hover") || body.contains(document.activeElement);

  const row = (text) => {
    const template = document.createElement("template");
    template.innerHTML = text;
    const element = template.content.querySelector("tr");
    element.classList.add("new");
    tell(element);
    return element;
  };

  const show = () => {
    const rows = waiting;
    waiting = [];
    news.hidden = true;
    const there = new Set([...body.rows].map((element) => element.dataset.id));
    body.prepend(...rows.filter((one) => !there.has(String(one.id))).map((one) => row(one.html)));
    while (body.rows.length > MOST) body.lastElementChild.remove();
  };

  const showWhenFree = () => { if (waiting.length > 0 && !isBusy()) show(); };

  const take = (event) => {
    const { rows } = JSON.parse(event.data);
    // A stream that is opened again goes on from here.
    const url = new URL(button.dataset.live, location.href);
    url.searchParams.set("since", event.lastEventId);
    button.dataset.live = url.pathname + url.search;
    // A page that showed nothing is drawn by the server.
    if (!body) {
      location.reload();
      return;
    }
    const known = new Set([...body.rows].map((element) => element.dataset.id));
    for (const one of waiting) known.add(String(one.id));
    waiting = [...rows.filter((one) => !known.has(String(one.id))), ...waiting];
    if (waiting.length === 0) return;
    if (!isBusy()) {
      show();
      return;
    }
    news.textContent = `${waiting.length} new: show`;
    news.hidden = false;
  };

  news.addEventListener("click", show);
  if (body) {
    body.addEventListener("pointerleave", () => setTimeout(showWhenFree, 300));
    body.addEventListener("focusout", () => setTimeout(showWhenFree, 300));
  }
  reload.hidden = true;
  follow(button, { rows: take, behind: () => location.reload() });
  // Where it is not live, the link is what there is.
  new MutationObserver(() => { reload.hidden = button.dataset.state === "on"; }).observe(button, { attributes: true, attributeFilter: ["data-state"] });
}
