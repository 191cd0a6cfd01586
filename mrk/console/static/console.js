// What the pages do without being loaded anew. Everything works without this file, too: the review
// says what is wrong, and a page that waits is loaded again every five seconds.
"use strict";

const CHECK_AFTER = 400; // milliseconds without a key press
const LOOK_EVERY = 1500; // milliseconds

const csrf = () => document.querySelector("input[name=csrf]").value;

function announce(text) {
  const announcer = document.getElementById("announcer");
  if (announcer.textContent !== text) announcer.textContent = text;
}

// --- The form -----------------------------------------------------------------------------------

function showOwnFields(form) {
  const data = new FormData(form);
  for (const part of form.querySelectorAll("[data-when]")) {
    const [name, value] = part.dataset.when.split("=");
    part.hidden = data.get(name) !== value;
  }
}

function offerUsagesOfSpec(form) {
  const spec = form.elements.keySpec?.selectedOptions?.[0];
  const usage = form.elements.keyUsage;
  if (!spec || usage.tagName !== "SELECT") return;
  const usages = spec.dataset.usages.split(" ");
  for (const option of usage.options) {
    const fits = option.value ? usages.includes(option.value) : usages.length === 1;
    option.hidden = option.disabled = !fits;
  }
  if (usage.selectedOptions[0]?.disabled) usage.value = usages.length === 1 ? "" : usages[0];
}

function showProblems(form, problems, touched) {
  for (const list of form.querySelectorAll(".problems")) {
    const id = list.id.replace(/-problems$/, "");
    const texts = touched.has(id) ? problems[id] ?? [] : [];
    if ([...list.children].map((p) => p.textContent).join("\n") === texts.join("\n")) continue;
    list.replaceChildren(...texts.map((text) => {
      const line = document.createElement("p");
      line.textContent = text;
      return line;
    }));
    const field = document.getElementById(id);
    if (field?.name) {
      if (texts.length) field.setAttribute("aria-invalid", "true");
      else field.removeAttribute("aria-invalid");
    }
    if (texts.length) announce(texts.join(" "));
  }
  markSteps(form);
}

function markSteps(form) {
  for (const link of document.querySelectorAll(".steps a")) {
    const step = document.getElementById(link.hash.slice(1));
    link.parentElement.classList.toggle("wrong", Boolean(step?.querySelector(".problems p")));
  }
}

function watchForm(form) {
  const touched = new Set();
  let timer, running;
  const touch = (target) => {
    if (!target.name) return;
    touched.add(target.id || target.closest("fieldset")?.id);
    const tags = target.name.match(/^(.*tags)\[/);
    if (tags) touched.add(`${tags[1].replace(/[^A-Za-z0-9]+/g, "-")}-0-key`);
  };
  const check = async () => {
    running?.abort();
    running = new AbortController();
    try {
      const answer = await fetch(form.dataset.check, {
        method: "POST",
        headers: { "X-CSRF-Token": csrf() },
        body: new URLSearchParams(new FormData(form)),
        signal: running.signal,
      });
      if (!answer.ok) return;
      const { problems, plan } = await answer.json();
      showProblems(form, problems, touched);
      showPlan(plan);
    } catch (error) {
      if (error.name !== "AbortError") announce("The console does not answer. Is it still running?");
    }
  };
  form.addEventListener("input", (event) => {
    showOwnFields(form);
    if (event.target.name === "keySpec") offerUsagesOfSpec(form);
    clearTimeout(timer);
    timer = setTimeout(check, CHECK_AFTER);
  });
  // Nobody is interrupted while they fill in a field for the first time.
  form.addEventListener("change", (event) => {
    touch(event.target);
    clearTimeout(timer);
    timer = setTimeout(check, 0);
  });
  for (const list of form.querySelectorAll(".problems p")) touched.add(list.parentElement.id.replace(/-problems$/, ""));
  showOwnFields(form);
  offerUsagesOfSpec(form);
  markSteps(form);
  check();
}

function showPlan(html) {
  replace(document.getElementById("plan"), html);
}

/** Show other content; what was unfolded stays so, and what had the keyboard keeps it. */
function replace(element, html) {
  const open = [...element.querySelectorAll("details")].map((one) => one.open);
  const had = element.contains(document.activeElement) ? document.activeElement : null;
  const isSame = (one) => one.tagName === had.tagName && one.textContent === had.textContent;
  element.innerHTML = html;
  element.querySelectorAll("details").forEach((one, place) => { one.open = open[place] ?? one.open; });
  if (had) [...element.querySelectorAll("a, button, summary")].find(isSame)?.focus();
}

// --- A key set that comes into being ------------------------------------------------------------

function watchKeySet(live) {
  let shown = live.innerHTML.trim();
  let failures = 0;
  const look = async () => {
    let next;
    try {
      const answer = await fetch(live.dataset.live);
      if (!answer.ok) throw new Error(answer.status);
      next = await answer.json();
      failures = 0;
    } catch {
      failures += 1;
      announce("The stack does not answer. Trying again.");
      setTimeout(look, LOOK_EVERY * Math.min(2 ** failures, 16));
      return;
    }
    const isTyping = live.querySelector("form :focus");
    if (next.html.trim() !== shown && !(isTyping && next.goesOn)) {
      replace(live, next.html);
      shown = next.html.trim();
      document.title = `${next.said.split(".")[0]} · Multi-Region keys`;
    }
    announce(next.said);
    if (next.goesOn) setTimeout(look, LOOK_EVERY);
  };
  setTimeout(look, LOOK_EVERY / 3);
}

const form = document.querySelector("form[data-check]");
if (form) watchForm(form);
const live = document.querySelector("[data-live]");
if (live) watchKeySet(live);
