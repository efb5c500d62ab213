/* What "On a set" does by itself: turning to it and back, opening a problem, asking once before
   deleting. Everything that is shown comes from the server. */
(() => {
  "use strict";
  const studio = window.studio;
  if (studio.mode) return; // Gradio puts the head into the page a second time
  const KEY = "studio-compare-mode";

  studio.mode = () => { try { return localStorage.getItem(KEY) === "set" ? "set" : "one"; } catch { return "one"; } };

  function dress() {
    const mode = studio.mode();
    document.querySelector("#compare")?.classList.toggle("on-set", mode === "set");
    for (const tab of document.querySelectorAll("#c-mode [data-mode]")) {
      tab.setAttribute("aria-selected", String(tab.dataset.mode === mode));
    }
  }

  // Before the part's own listener tells the server, hence while the click goes down.
  studio.modes = (element) => {
    element.addEventListener("click", (event) => {
      const tab = event.target.closest("[data-mode]");
      if (!tab) return;
      try { localStorage.setItem(KEY, tab.dataset.mode); } catch { /* private mode */ }
      dress();
    }, true);
    dress();
  };

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-shows='case']")) {
      document.querySelector("#case")?.showPopover();
      document.querySelector("#case .case")?.scrollTo(0, 0);
    }
  });

  // The first click on Delete asks, the second deletes.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do='discard']");
    if (!button) return;
    const words = button.querySelector("span");
    if (button.classList.contains("sure")) {
      button.dispatchEvent(new CustomEvent("studio", { bubbles: true, detail: { do: "removed", match: button.dataset.match } }));
      return;
    }
    button.classList.add("sure");
    words.textContent = "Delete for good";
    setTimeout(() => { button.classList.remove("sure"); words.textContent = "Delete"; }, 6000);
  });
})();
