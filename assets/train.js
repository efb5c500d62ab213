/* What the Train tab does by itself: drawing figures, smoothing, choosing among what is shown,
   asking once before deleting. Numbers and words come from the server; nothing is fetched but
   Plotly, from this server, when there is a first figure to draw. */
(() => {
  "use strict";
  const studio = window.studio;
  if (studio.figure) return; // Gradio puts the head into the page a second time
  const kept = (key, other) => { try { return localStorage.getItem(key) ?? other; } catch { return other; } };
  const keep = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private mode */ } };
  const fire = (element, detail) =>
    element.dispatchEvent(new CustomEvent("studio", { bubbles: true, detail }));

  /* --- figures ----------------------------------------------------------------------------- */

  let library; // one promise, however many figures ask
  const plotly = () => library ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = studio.plotly;
    script.onload = () => done(window.Plotly);
    script.onerror = () => { library = undefined; failed(new Error("Plotly did not load")); };
    document.head.append(script);
  });

  /* The figures name colours as the style sheet does; a canvas needs them resolved. */
  function coloured(value, style) {
    if (typeof value === "string") {
      return value.replace(/var\((--[\w-]+)\)/g, (_, name) => style.getPropertyValue(name).trim());
    }
    if (Array.isArray(value)) return value.map((item) => coloured(item, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, coloured(v, style)]));
    }
    return value;
  }

  /* An exponential mean whose first values are not drawn towards zero. */
  function smoothed(values, weight) {
    let mean = 0;
    let mass = 0;
    return values.map((value) => {
      mean = weight * mean + (1 - weight) * value;
      mass = weight * mass + (1 - weight);
      return mean / mass;
    });
  }

  function paint(Plotly, place, figure, weight, small) {
    const style = getComputedStyle(document.body);
    const { data, layout } = coloured(figure, style);
    for (const trace of data) {
      if (trace.meta?.smooth && weight > 0) trace.y = smoothed(trace.y, weight);
    }
    layout.font.family = style.getPropertyValue("--font-text");
    layout.height = place.clientHeight;
    layout.dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom";
    return Plotly.react(place, data, layout, { responsive: true, displayModeBar: false, doubleClick: "reset", showTips: false });
  }

  function figure(element, props, watch) {
    const range = element.querySelector(".smooth input");
    const wide = element.querySelector(".wide");
    const small = element.querySelector(".small");
    range.value = kept("studio-smooth", "0.6");
    const draw = async () => {
      const value = props.value;
      element.firstElementChild.hidden = !value;
      if (!value) return;
      const Plotly = await plotly();
      const weight = Number(range.value);
      const empty = value.main.data.length === 0;
      element.querySelector(".waiting").hidden = !empty;
      element.querySelector(".axis").textContent = value.main.layout.meta?.y ?? "";
      await paint(Plotly, wide, value.main, weight);
      multiples(Plotly, small, value.small, weight);
    };
    watch("value", draw);
    range.addEventListener("input", () => { keep("studio-smooth", range.value); draw(); });
    let dark = document.body.classList.contains("dark");
    new MutationObserver(() => {
      if (dark !== document.body.classList.contains("dark")) { dark = !dark; draw(); }
    }).observe(document.body, { attributeFilter: ["class"] });
    draw();
  }

  function multiples(Plotly, small, figures, weight) {
    const wanted = new Set(figures.map((item) => item.key));
    for (const old of [...small.children]) {
      if (!wanted.has(old.dataset.key)) { Plotly.purge(old.querySelector(".plot")); old.remove(); }
    }
    for (const item of figures) {
      let box = small.querySelector(`[data-key="${item.key}"]`);
      if (!box) {
        box = document.createElement("figure");
        box.dataset.key = item.key;
        box.innerHTML = "<figcaption><span></span><b></b></figcaption><div class='plot'></div>";
        small.append(box);
      }
      box.querySelector("span").textContent = item.title;
      box.querySelector("b").textContent = item.latest;
      paint(Plotly, box.querySelector(".plot"), item, weight, true);
    }
  }

  /* --- rollouts ---------------------------------------------------------------------------- */

  const looking = { group: 0, order: "advantage", words: "", latest: true, step: 0 };

  function slider(element, props, watch, trigger) {
    const range = element.querySelector(".steps");
    const follow = element.querySelector(".follow");
    let dragged = false;
    const show = () => {
      const value = props.value;
      element.firstElementChild.hidden = !value || value.steps.length === 0;
      if (!value) return;
      const { steps, at, latest } = value;
      Object.assign(looking, { latest, step: at });
      range.max = Math.max(steps.length - 1, 0);
      if (!dragged) range.value = Math.max(steps.indexOf(at), 0);
      range.disabled = steps.length < 2;
      element.querySelector("output").textContent = `step ${at}`;
      follow.setAttribute("aria-pressed", String(latest));
    };
    const go = (step) => trigger("step", { step });
    range.addEventListener("input", () => {
      dragged = true;
      element.querySelector("output").textContent = `step ${props.value.steps[range.value]}`;
    });
    range.addEventListener("change", () => { dragged = false; go(props.value.steps[range.value]); });
    follow.addEventListener("click", () => go(looking.latest ? looking.step : "latest"));
    element.querySelector("select").addEventListener("change", (event) => { looking.order = event.target.value; arrange(); });
    element.querySelector("input[type=search]").addEventListener("input", (event) => { looking.words = event.target.value; arrange(); });
    element.addEventListener("studio", (event) => { if (event.detail.do === "step") go(event.detail.step); });
    watch("value", show);
    show();
  }

  const arrange = () => ["#rollouts", "#trials"].forEach((place) => arranged(document.querySelector(place)));

  function arranged(place) {
    const sections = [...(place?.querySelectorAll(".rollout") ?? [])];
    const words = looking.words.trim().toLowerCase();
    const chosen = Math.min(looking.group, sections.length - 1);
    sections.forEach((section, index) => {
      const items = [...section.querySelectorAll(".completion")];
      const question = section.querySelector("aside").textContent.toLowerCase();
      let found = 0;
      for (const item of items) {
        const hit = !words || item.textContent.toLowerCase().includes(words) || question.includes(words);
        item.hidden = !hit;
        found += hit;
      }
      // While searching, every group with a hit is open; else the chosen one.
      section.hidden = words ? found === 0 : index !== chosen;
      const by = { advantage: (i) => -i.advantage, worst: (i) => i.advantage, length: (i) => -i.tokens, order: (i) => i.number }[looking.order];
      items.sort((a, b) => by(a.dataset) - by(b.dataset)).forEach((item) => item.parentElement.append(item));
    });
    place?.querySelectorAll(".group").forEach((tab, index) => tab.setAttribute("aria-selected", String(!words && index === chosen)));
  }

  function rollouts(element, watch) {
    watch("value", arrange);
    arrange();
    element.addEventListener("click", (event) => {
      const tab = event.target.closest("[data-do='group']");
      if (tab) { looking.group = Number(tab.dataset.index); arrange(); }
      // Whoever reads does not want the next step to push it away.
      if ((tab || event.target.closest("summary")) && looking.latest) {
        element.id === "rollouts" && fire(document.querySelector("#slider .controls"), { do: "step", step: looking.step });
      }
    });
  }

  /* --- small acts --------------------------------------------------------------------------- */

  const acts = {
    remove(button) { // asked once: the same button becomes the question
      if (button.classList.contains("sure")) return fire(button, { do: "removed", run: button.dataset.run });
      const before = button.innerHTML;
      const name = (words) => { button.title = words; button.setAttribute("aria-label", words); };
      button.classList.add("sure");
      button.textContent = "Delete for good";
      name("Delete for good");
      setTimeout(() => { button.classList.remove("sure"); button.innerHTML = before; name("Delete"); }, 6000);
    },
    rename(button) {
      const title = button.closest(".head").querySelector("h1");
      if (title.isContentEditable) return;
      const before = title.textContent;
      const close = (text) => {
        title.onblur = null;
        title.contentEditable = "false";
        title.textContent = text || before;
        if (text && text !== before) fire(title, { do: "renamed", text });
      };
      title.contentEditable = "plaintext-only";
      title.focus();
      getSelection().selectAllChildren(title);
      title.onblur = () => close(title.textContent.trim());
      title.onkeydown = (event) => {
        if (event.key === "Enter" && !event.isComposing) { event.preventDefault(); title.blur(); }
        if (event.key === "Escape") close("");
      };
    },
    chat(button) { // the finished checkpoint, and a question that it was measured on
      studio.toChat({ do: "trial", run: button.dataset.run });
    },
    keep(button) {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([button.dataset.text], { type: "application/json" }));
      link.download = button.dataset.name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    },
  };

  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-push]");
    if (!form) return;
    event.preventDefault();
    const { repo, token, public: open } = form.elements;
    fire(form, { do: "push", repo: repo.value, token: token.value, public: open.checked });
    token.value = "";
  });

  document.addEventListener("change", (event) => {
    const { amend, index } = event.target.dataset ?? {};
    if (amend) fire(event.target, { do: "amend", field: amend, index, text: event.target.value });
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("#train button[data-do]");
    if (button && acts[button.dataset.do]) acts[button.dataset.do](button);
  });

  /* --- the tab comes back after a reload ------------------------------------------------------ */

  document.addEventListener("click", (event) => {
    const tab = event.target.closest("#tabs [role=tab][data-tab-id]");
    if (tab && event.isTrusted) keep("studio-tab", tab.dataset.tabId);
  }, true);
  const back = kept("studio-tab", "chat");
  if (back !== "chat") {
    const wait = setInterval(() => {
      const tab = document.querySelector(`#tabs [role=tablist] [data-tab-id="${CSS.escape(back)}"]`);
      if (tab) { clearInterval(wait); tab.click(); }
    }, 50);
    setTimeout(() => clearInterval(wait), 15000);
  }

  Object.assign(studio, { figure, slider, rollouts });
})();
