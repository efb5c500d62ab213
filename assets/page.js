/* What the page does by itself: timers, folds, copying, editing in place, enlarging, the theme.
   Everything that concerns a model goes to the server through studio.wire. Loads nothing. */
(() => {
  "use strict";
  if (window.studio) return; // Gradio puts the head into the page a second time
  const folds = new Map(); // what the visitor opened or closed by hand, by fold
  const bases = new WeakMap(); // a running timer: the reading it started from, and when
  const answering = new WeakSet(); // parts in which several are answering
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let pinned = true; // whether the conversation follows its end
  let lastTop = 0;

  const $ = (selector) => document.querySelector(selector);
  const keep = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private mode */ } };
  const kept = (key) => { try { return localStorage.getItem(key); } catch { return null; } };

  /* --- parts that the server draws ------------------------------------------------------- */

  const fire = (element, detail) =>
    element.dispatchEvent(new CustomEvent("studio", { bubbles: true, detail }));

  function wire(element, trigger, watch, names) {
    element.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (!button || !names.includes(button.dataset.do) || button.tagName === "FORM") return;
      send(button.dataset.do, { ...button.dataset });
    });
    element.addEventListener("studio", (event) => {
      if (names.includes(event.detail.do)) send(event.detail.do, event.detail);
    });
    function send(name, data) {
      if (["example", "again", "resend", "wipe"].includes(name)) { folds.clear(); pinned = true; }
      if (name === "choose") element.querySelector("[popover]")?.hidePopover();
      if (name === "example") document.body.classList.remove("settings-open");
      trigger(name, data);
    }
    $("#scroll")?.setAttribute("role", "log"); // replies are read out once they are whole
    watch("value", () => drawn(element));
    drawn(element);
  }

  function drawn(element) {
    for (const fold of element.querySelectorAll("[data-fold]")) {
      const open = folds.get(fold.dataset.fold);
      if (open !== undefined && fold.open !== open) fold.open = open;
    }
    for (const legend of element.querySelectorAll(".legend")) {
      legend.setAttribute("aria-pressed", String(!document.body.classList.contains("unmarked")));
    }
    if (element.querySelector(".said.waiting .wait")) pinned = true; // just asked
    follow();
    const busy = Boolean(element.querySelector(".agreement.busy"));
    if (busy && !answering.has(element)) $("#c-asked")?.scrollIntoView({ behavior: still.matches ? "auto" : "smooth" });
    answering[busy ? "add" : "delete"](element);
  }

  function follow() {
    const scroll = $("#scroll");
    if (scroll && pinned && $("#live article")) scroll.scrollTop = scroll.scrollHeight;
  }

  /* --- timers ---------------------------------------------------------------------------- */

  const spell = (s) =>
    s < 60 ? `${s.toFixed(1)} s` : `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;

  setInterval(() => {
    for (const timer of document.querySelectorAll("time[data-elapsed]")) {
      const reading = timer.dataset.elapsed;
      let base = bases.get(timer);
      if (!base || base.reading !== reading) {
        // The server's reading may come late; a clock never goes back.
        const now = performance.now();
        const before = base ? base.start : now;
        base = { reading, start: Math.min(before, now - 1000 * reading) };
        bases.set(timer, base);
      }
      timer.textContent = spell((performance.now() - base.start) / 1000);
    }
  }, 100);

  // Gradio tells the place in the queue in small print; here it becomes the waiting reply's line.
  setInterval(() => {
    const note = $("#live .waiting .wait .note");
    const place = note && /queue: (\d+)\/(\d+)/.exec($("#live [data-testid='status-tracker']")?.innerText ?? "");
    $("#live")?.classList.toggle("placed", Boolean(place));
    if (place) note.textContent = `Place ${place[1]} of ${place[2]} in the queue`;
  }, 200);

  /* --- actions --------------------------------------------------------------------------- */

  const actions = {
    browse: (button) => document.getElementById(button.dataset.opens ?? "zoo")?.showPopover(),
    shut: (button) => button.closest("[popover]")?.hidePopover(),
    take: (button) => toChat({ do: "take", comparison: button.dataset.comparison, pane: button.dataset.pane }),
    settings(button) {
      const open = document.body.classList.toggle("settings-open");
      button.setAttribute("aria-expanded", String(open));
    },
    marks(button) { // what differs between panes, marked or not
      const off = document.body.classList.toggle("unmarked");
      keep("studio-marks", off ? "off" : "on");
      button.setAttribute("aria-pressed", String(!off));
    },
    theme() {
      const dark = !document.body.classList.contains("dark");
      keep("studio-theme", dark ? "dark" : "light"); // first, or the observer would undo it
      document.body.classList.toggle("dark", dark);
    },
    async copy(button) {
      const text = button.dataset.text;
      const words = button.dataset.words ?? "Copy reply";
      try { await navigator.clipboard.writeText(text); } catch { copyByHand(text); }
      button.classList.add("done");
      button.setAttribute("aria-label", "Copied");
      setTimeout(() => {
        button.classList.remove("done");
        button.setAttribute("aria-label", words);
      }, 1500);
    },
    edit(button) {
      const article = button.closest("article");
      const question = article.querySelector("p.question");
      if (article.querySelector("form")) return;
      const form = document.createElement("form");
      const area = document.createElement("textarea");
      area.value = question.innerText;
      area.setAttribute("aria-label", "Edit the question");
      area.rows = Math.min(8, Math.max(2, area.value.split("\n").length));
      form.className = "editing";
      const send = Object.assign(document.createElement("button"), { type: "submit", className: "primary", textContent: "Ask again" });
      const back = Object.assign(document.createElement("button"), { type: "button", className: "plain", textContent: "Cancel" });
      const row = Object.assign(document.createElement("div"), { className: "row" });
      row.append(send, back);
      form.append(area, row);
      const close = () => { form.remove(); article.classList.remove("edited"); };
      back.onclick = close;
      area.onkeydown = (event) => {
        if (event.key === "Escape") close();
        if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
      };
      form.onsubmit = (event) => {
        event.preventDefault();
        fire(article, { do: "resend", index: article.dataset.index, text: area.value });
        close();
      };
      article.classList.add("edited");
      question.after(form);
      area.focus();
    },
    enlarge(button) {
      const dialog = document.createElement("dialog");
      dialog.className = "large";
      dialog.setAttribute("aria-label", "Image");
      dialog.append((button.querySelector(".marked") ?? button.querySelector("img")).cloneNode(true));
      dialog.onclick = () => dialog.close();
      dialog.onclose = () => dialog.remove();
      document.body.append(dialog);
      dialog.showModal();
    },
  };

  function toChat(detail) { // to that tab, and what goes on there
    $("#tabs [role=tablist] [data-tab-id='chat']")?.click();
    keep("studio-tab", "chat");
    const inside = document.querySelectorAll("#transcript *");
    fire(inside[inside.length - 1], detail);
  }

  function copyByHand(text) { // where the clipboard is closed to pages: plain http on a network
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }

  document.addEventListener("click", (event) => {
    const summary = event.target.closest("[data-fold] > summary");
    if (summary) {
      const fold = summary.parentElement;
      setTimeout(() => {
        folds.set(fold.dataset.fold, fold.open);
        if (fold.open) fold.scrollIntoView({ block: "nearest" });
      });
    }
    const button = event.target.closest("button[data-do]");
    if (button && actions[button.dataset.do]) actions[button.dataset.do](button);
  });

  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-do='typed']");
    if (!form) return;
    event.preventDefault();
    const card = form.elements.card.value.trim();
    const found = shown(form);
    const one = found.find((item) => item.dataset.card === card) ?? (found.length === 1 && found[0]);
    if (card && one) one.click();
    else if (card && form.dataset.any === "true") fire(form, { do: "choose", card });
  });

  // What is typed in the picker narrows its list: every word must be in a card's name or task.
  const items = (form) => [...form.closest("[popover]").querySelectorAll("button.item")];
  const shown = (form) => items(form).filter((item) => !item.parentElement.hidden);
  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("form[data-do='typed']");
    if (!form) return;
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const item of items(form)) {
      const group = item.closest("section").querySelector("h3").textContent;
      const name = `${item.dataset.card} ${item.innerText} ${group}`.toLowerCase();
      item.parentElement.hidden = !words.every((word) => name.includes(word));
    }
    for (const section of form.closest("[popover]").querySelectorAll(".groups section")) {
      section.hidden = !section.querySelector("li:not([hidden])");
    }
    form.querySelector(".hint").hidden = shown(form).length > 0;
  });

  // Only going up lets go of the end: content that grows also changes the distance to it.
  document.addEventListener("scroll", (event) => {
    const scroll = event.target;
    if (scroll.id !== "scroll") return;
    if (scroll.scrollTop < lastTop - 2) pinned = false;
    if (scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 40) pinned = true;
    lastTop = scroll.scrollTop;
  }, true);
  document.addEventListener("load", (event) => { if (event.target.tagName === "IMG") follow(); }, true);

  /* --- sentences about what went wrong ---------------------------------------------------- */

  // Gradio closes all of them when the first one's time is up. Without times, they stay until the
  // visitor goes on; who asks the same again is told once.
  const sentences = document.getElementsByClassName("toast-message-item"); // those there are now
  const read = new WeakSet();
  let told = 0; // when the last one came
  new MutationObserver(() => {
    const later = new Set();
    for (const item of [...sentences].reverse()) {
      if (!read.has(item)) told = performance.now();
      read.add(item);
      item.hidden = later.has(item.textContent);
      later.add(item.textContent);
    }
  }).observe(document.body, { childList: true, subtree: true });
  const goOn = (event) => {
    if (!event.isTrusted || !sentences.length || performance.now() - told < 2500) return;
    for (const button of document.querySelectorAll("[data-testid='toast-close']")) button.click();
  };
  document.addEventListener("click", goOn, true); // which scrolling with a finger is not
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" || (event.key === "Enter" && !event.isComposing)) goOn(event);
  }, true);

  /* --- export, theme --------------------------------------------------------------------- */

  function hand(file) { // to the visitor, as a download: {name, type, text}
    if (!file || !file.name) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([file.text], { type: file.type }));
    link.download = file.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function save(record) {
    if (!record || !record.exchanges) return;
    hand({ name: "conversation.json", type: "application/json", text: JSON.stringify(record, null, 1) });
  }

  // Gradio sets the system's preference when it pleases; the visitor's choice wins.
  const dress = () => {
    const choice = kept("studio-theme");
    if (choice && document.body.classList.contains("dark") !== (choice === "dark")) {
      document.body.classList.toggle("dark");
    }
  };
  new MutationObserver(dress).observe(document.body, { attributeFilter: ["class"] });
  dress();
  document.body.classList.toggle("unmarked", kept("studio-marks") === "off");

  window.studio = { wire, save, hand, toChat };
})();
