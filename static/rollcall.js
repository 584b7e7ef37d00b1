// What makes every page quicker; none needs it. Times in the reader's own zone, menus that close,
// text that is copied, boxes that are ticked together.

const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

// How far the server's clock is ahead of this device's: pages say the server's time.
const ahead = Date.parse(document.body.dataset.now) - Date.now() || 0;

function words(milliseconds, isDeadline) {
  const seconds = Math.abs(milliseconds) / 1000;
  if (milliseconds > 0 ? !isDeadline : seconds < 60) return "just now";
  const [count, unit] =
    seconds < 60 ? [seconds, "second"]
    : seconds < 3570 ? [seconds / 60, "minute"]
    : seconds < 84600 ? [seconds / 3600, "hour"]
    : [seconds / 86400, "day"];
  const rounded = Math.round(count);
  const text = `${rounded} ${unit}${rounded === 1 ? "" : "s"}`;
  return milliseconds > 0 ? `in ${text}` : `${text} ago`;
}

/** Puts times into the reader's zone, and keeps "3 minutes ago" true. */
export function tell(root = document) {
  const now = Date.now() + ahead;
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = exact.format(at);
    const hidden = time.querySelector(".vh");
    if (hidden) hidden.textContent = ` (${exact.format(at)})`;
    if ("exact" in time.dataset) time.firstChild.data = exact.format(at);
    else if (hidden) time.firstChild.data = words(at - now, "until" in time.dataset);
  }
}

tell();
setInterval(() => { if (!document.hidden) tell(); }, 30_000);

document.addEventListener("click", async (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const source = document.getElementById(copy.dataset.copy);
    const said = copy.textContent;
    try {
      await navigator.clipboard.writeText(source.textContent);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      copy.textContent = "Selected: copy it by hand";
    }
    setTimeout(() => { copy.textContent = said; }, 2000);
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    const menu = document.querySelector("details.menu[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.closest("input, textarea, select")) {
    const box = document.querySelector("input[type=search]");
    if (box) {
      event.preventDefault();
      box.focus();
      box.select();
    }
  }
});

// Where one is may lie beyond the edge of a narrow screen.
const nav = document.querySelector(".nav");
const here = nav?.querySelector("[aria-current]");
if (here) nav.scrollLeft += here.getBoundingClientRect().left - nav.getBoundingClientRect().left - (nav.clientWidth - here.offsetWidth) / 2;

// What goes on is read again while it does. The rest of the page stays, and so does what has the focus.
const going = document.querySelector("[data-going]");
if (going) {
  const again = async () => {
    if (!document.hidden) {
      const answer = await fetch(location.href).catch(() => null);
      const page = answer?.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
      const there = page?.querySelector("[data-going]");
      if (page && !there) return location.reload();
      if (there) going.replaceChildren(...there.childNodes);
    }
    setTimeout(again, 1000);
  };
  setTimeout(again, 1000);
}

// What only makes sense with scripts.
for (const element of document.querySelectorAll("[data-scripted]")) element.hidden = false;

/** Keeps a stream of server-sent events open while its button says so and the page is in sight. `handlers` are called
    by the names of events; `onClose` when the stream is closed for a time. */
export function follow(button, handlers, onClose = () => {}) {
  const word = button.querySelector("span");
  let source = null;
  let isWanted = true;

  const show = (state, text) => {
    button.dataset.state = state;
    button.setAttribute("aria-pressed", String(isWanted));
    word.textContent = text;
  };

  const open = () => {
    if (source || !isWanted || document.hidden) return;
    source = new EventSource(button.dataset.live);
    source.addEventListener("open", () => show("on", "Live"));
    for (const [name, handler] of Object.entries(handlers)) source.addEventListener(name, handler);
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
    onClose();
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
  return { isOpen: () => source !== null };
}

/** Says how many are ticked in a form with a button for those; it works only while there are some. */
export function recount(form) {
  const button = form?.querySelector("[data-picked]");
  if (!button) return;
  const name = button.dataset.picked;
  const here = form.querySelectorAll(`input[type="checkbox"][name="${name}"]:checked`).length;
  const elsewhere = form.querySelectorAll(`input[type="hidden"][name="${name}"]`).length;
  const count = here + elsewhere;
  button.disabled = count === 0;
  button.textContent = count === 0 ? "End selected" : `End ${count} selected`;
  if (elsewhere > 0) button.textContent += ` (${elsewhere} not on this page)`;
  const all = form.querySelector(`input[data-all="${name}"]`);
  if (all) {
    const boxes = form.querySelectorAll(`input[type="checkbox"][name="${name}"]`).length;
    all.checked = boxes > 0 && here === boxes;
    all.indeterminate = here > 0 && here < boxes;
  }
}

document.addEventListener("change", (event) => {
  const all = event.target.closest("input[data-all]");
  if (all) {
    for (const box of all.form.querySelectorAll(`input[type="checkbox"][name="${all.dataset.all}"]`)) box.checked = all.checked;
  }
  recount(event.target.form);
  const file = event.target.closest("input[data-into]");
  if (file?.files.length) read(file.files[0]).then((text) => { document.getElementById(file.dataset.into).value = text; });
});

/** The text of a file: UTF-8, what its byte order mark says, or else what older spreadsheets write. */
async function read(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

for (const button of document.querySelectorAll("[data-picked]")) recount(button.form);
// A browser that comes back to a page ticks its boxes again, after this.
addEventListener("pageshow", () => { for (const button of document.querySelectorAll("[data-picked]")) recount(button.form); });
