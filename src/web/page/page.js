"use strict";
// Refreshes the page quietly: what is open stays open, what is typed stays typed, and nothing jumps.
(() => {
  const EVERY = 10_000, PATIENCE = 15_000;
  const id = (name) => document.getElementById(name);
  const said = id("said");
  let last = performance.now(), paused = false, timer = 0, asking = false;

  // Makes one element like another and touches only what differs; rows are told by their ids.
  const morph = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    for (const { name } of [...old.attributes])
      if (!fresh.hasAttribute(name) && !(name === "open" && old.localName === "details")) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes)
      if (old.getAttribute(name) !== value && !(name === "open" && old.localName === "details")) old.setAttribute(name, value);
    if (old.localName === "output") return;
    const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
    let place = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      let match = place;
      if (child.id && known.has(child.id)) {
        match = known.get(child.id);
        if (match !== place) old.insertBefore(match, place);
      } else if (!match || match.nodeName !== child.nodeName || (match.id || "") !== (child.id || "")) {
        old.insertBefore(document.importNode(child, true), place);
        continue;
      }
      place = match.nextSibling;
      if (match.nodeType !== Node.ELEMENT_NODE) {
        if (match.nodeValue !== child.nodeValue) match.nodeValue = child.nodeValue;
      } else if (!match.hasAttribute("data-keep")) morph(match, child);
    }
    while (place) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
  };

  const lost = document.createElement("p");
  lost.id = "lost";
  lost.setAttribute("role", "alert");
  lost.toggleAttribute("data-keep", true);
  id("main").before(lost);

  const pause = document.createElement("button");
  pause.type = "button";
  pause.id = "pause";
  pause.toggleAttribute("data-keep", true);
  const state = document.createElement("span");
  state.id = "refreshes";
  state.toggleAttribute("data-keep", true);
  const tell = () => {
    pause.textContent = paused ? "Refresh again" : "Pause";
    state.textContent = paused ? "refreshing is paused" : "refreshes by itself";
  };
  tell();
  document.querySelector(".asof").append(state, pause);
  pause.addEventListener("click", () => {
    paused = !paused;
    tell();
    if (paused) clearTimeout(timer);
    else refresh();
  });

  // An amount is not shown longer than it is fresh, even if the exporter cannot be asked.
  const withdraw = () => {
    const age = (performance.now() - last) / 1000;
    for (const row of document.querySelectorAll("tr[data-fresh-for]"))
      row.classList.toggle("outlived", age > Number(row.dataset.freshFor));
  };
  setInterval(withdraw, 1000);

  const refresh = async () => {
    clearTimeout(timer);
    const selection = document.getSelection();
    const reading = selection && selection.type === "Range";
    if (!asking && !document.hidden && !reading) {
      asking = true;
      try {
        const began = performance.now();
        const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
        if (!answer.ok) throw new Error(`the exporter answered with status ${answer.status}`);
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        const main = fresh.getElementById("main");
        if (!main || !fresh.getElementById("summary")) throw new Error("the answer is not this page");
        for (const control of [state, pause]) main.querySelector(".asof").append(control.cloneNode(true));
        const before = document.title;
        morph(id("main"), main);
        document.title = fresh.title;
        if (document.title !== before) said.textContent = fresh.querySelector(".headline").textContent;
        last = began;
        lost.textContent = "";
      } catch (error) {
        const time = new Date(Date.now() - (performance.now() - last)).toISOString().slice(11, 19);
        lost.textContent = `This page could not be refreshed since ${time} UTC. Amounts go when they are too old to be relied on.`;
      }
      asking = false;
      withdraw();
    }
    if (!paused) timer = setTimeout(refresh, EVERY);
  };
  timer = setTimeout(refresh, EVERY);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !paused) refresh(); });

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.classList.contains("poll")) return;
    event.preventDefault();
    const [button, output] = [form.querySelector("button"), form.querySelector("output")];
    button.disabled = true;
    output.textContent = "asking …";
    try {
      const answer = await fetch(form.action, { method: "POST", headers: { Accept: "application/json" } });
      const told = await answer.json();
      output.textContent = told.message || told.error;
    } catch {
      output.textContent = "the exporter did not answer";
    }
    button.disabled = false;
    button.focus({ preventScroll: true });
    setTimeout(refresh, 1500);
    setTimeout(() => { output.textContent = ""; }, 15_000);
  });

  const reveal = () => {
    const target = location.hash.startsWith("#state-") && id(location.hash.slice(1));
    if (target && !id("states").open) {
      id("states").open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", reveal);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "?" || event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const states = id("states");
    states.open = !states.open;
    if (states.open) states.querySelector("summary").focus();
  });
  reveal();
})();
