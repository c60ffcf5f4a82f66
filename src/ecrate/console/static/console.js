// What htmx does not do: copying commands, and the stream of what happens.
"use strict";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    // No clipboard without https: what is selected can be copied by hand.
    getSelection().selectAllChildren(button.previousElementSibling);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = said; }, 1500);
});

document.addEventListener("DOMContentLoaded", () => {
  const list = document.querySelector("[data-stream]");
  if (!list) return;
  const stream = new EventSource(list.dataset.stream);
  const state = document.getElementById("state");
  stream.addEventListener("open", () => { document.getElementById("live").hidden = false; });
  stream.addEventListener("happened", (event) => {
    list.insertAdjacentHTML("afterbegin", event.data);
    while (list.children.length > 200) list.lastElementChild.remove();
  });
  stream.addEventListener("state", (event) => { if (state) state.innerHTML = event.data; });
  addEventListener("pagehide", () => stream.close());
});
