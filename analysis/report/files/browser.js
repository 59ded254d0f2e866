"use strict";
// The browser of pairs: a dialog whose state is in the address, so that a link leads back to it.
(() => {
  const HEIGHT = 76; // of an item of the list, as its style says
  const dialog = byId("browser");
  const list = byId("b-list");
  const stage = byId("b-stage");
  const panes = [...stage.querySelectorAll(".pane")];
  const { mode, zoom, fit, flicker } = staged(stage, byId("b-split"), dialog.querySelectorAll(".modes [data-mode]"));
  const state = { set: 0, a: 0, b: 0, at: -1, order: "win", score: 0, second: 0, field: "", value: "", model: "", revealed: -1 };
  let found = []; // places of the list, in its order
  let pushed = false; // whether closing goes back in the history
  let opener = null;
  let wanted = false; // whether the dialog is to be open: a browser closes it by itself where Esc is pressed twice

  const set = () => record.sets[state.set];
  const scored = () => set().scores.map((score, i) => [score[0], i]).filter(([, i]) => set().points[i]);
  const fill = (id, options, value) => {
    byId(id).replaceChildren(...options.map(([text, own]) => new Option(text, own)));
    byId(id).value = String(value);
  };
  const number = (x) => (x === null ? "\u2013" : String(Number(x.toPrecision(4))));
  const change = (x) => (x === null ? "\u2013" : (x > 0 ? "+" : x < 0 ? "\u2212" : "") + number(Math.abs(x)));

  // -- choices ---------------------------------------------------------------------------------------------

  const fillRows = () => {
    const rows = set().rows.map((row, i) => [row[1], i]);
    const kept = rows.filter(([, i]) => state.model === "" || set().rows[i][3] === state.model);
    if (kept.length && !kept.some(([, i]) => i === state.a)) state.a = kept[0][1];
    if (kept.length && !kept.some(([, i]) => i === state.b)) state.b = beside(state.a, kept.map(([, i]) => i));
    fill("b-a", kept, state.a);
    fill("b-b", kept, state.b);
  };
  const fillChoices = () => {
    const models = [...new Set(set().rows.map((row) => row[3]))];
    if (!models.includes(state.model)) state.model = "";
    fill("b-set", record.sets.map((one, i) => [one.name, i]).filter(([, i]) => record.sets[i].places.length), state.set);
    fill("b-model", [["all", ""], ...models.map((model) => [model, model])], state.model);
    const scores = scored();
    if (!scores.some(([, i]) => i === state.score)) state.score = scores.length ? scores[0][1] : 0;
    if (!scores.some(([, i]) => i === state.second) || state.second === state.score) state.second = (scores.find(([, i]) => i !== state.score) || [0, state.score])[1];
    if (!scores.length) state.order = "prompt";
    fill("b-score", scores, state.score);
    fill("b-second", scores, state.second);
    byId("b-order").value = state.order;
    for (const option of byId("b-order").options) option.disabled = option.value !== "prompt" && scores.length < (option.value === "disagree" ? 2 : 1);
    fill("b-field", [["anything", ""], ...record.fields.map(([name], i) => [name, i])], state.field);
    fill("b-value", [["anything", ""], ...(state.field === "" ? [] : record.fields[state.field][1].map((value, i) => [value, i]))], state.value);
    byId("b-set").parentElement.hidden = byId("b-set").options.length < 2;
    byId("b-model").parentElement.hidden = models.length < 2;
    byId("b-second").parentElement.hidden = state.order !== "disagree";
    byId("b-score").parentElement.hidden = scores.length === 0;
    byId("b-field").parentElement.hidden = record.fields.length === 0;
    byId("b-value").parentElement.hidden = state.field === "";
    fillRows();
  };
  // The row that one is set beside at first: its control of the asked role, or another one.
  const beside = (row, among) => {
    const own = set().controls.filter(([of]) => of === row);
    const best = own.find(([, role]) => role === record.against) || own[0] || set().controls.find(([, , control]) => control === row);
    const chosen = best && (best[0] === row ? best[2] : best[0]);
    if (chosen !== undefined && (!among || among.includes(chosen))) return chosen;
    return (among || set().rows.map((_, i) => i)).find((i) => i !== row) ?? row;
  };

  // -- the list --------------------------------------------------------------------------------------------

  const relist = (keep) => {
    found = listed(set(), state);
    list.firstElementChild.style.height = `${found.length * HEIGHT}px`;
    if (!keep || !found.includes(state.at)) state.at = found.length ? found[0] : -1;
    const n = set().places.length;
    byId("b-count").textContent = found.length === n ? `${n} pairs` : `${found.length} of ${n} pairs`;
    reveal();
    draw();
    show();
  };
  const reveal = () => {
    const top = found.indexOf(state.at) * HEIGHT;
    if (top < list.scrollTop || top + HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = Math.max(0, top - list.clientHeight / 2 + HEIGHT / 2);
  };
  const veiled = (place, at) => place.unsafe && !byId("b-unsafe").checked && state.revealed !== at;
  const item = (i) => {
    const at = found[i];
    const place = placeOf(set(), at);
    const box = document.createElement("div");
    box.className = "item";
    box.id = `b-item-${i}`;
    box.setAttribute("role", "option");
    box.setAttribute("aria-selected", at === state.at);
    box.setAttribute("aria-posinset", i + 1);
    box.setAttribute("aria-setsize", found.length);
    box.style.top = `${i * HEIGHT}px`;
    for (const row of [state.a, state.b]) {
      const image = new Image();
      image.src = thumb(set().thumbs[row][at]);
      image.alt = "";
      image.classList.toggle("veiled", veiled(place, at));
      box.append(image);
    }
    const text = document.createElement("div");
    const prompt = document.createElement("bdi");
    prompt.textContent = place.text;
    const about = document.createElement("span");
    const shown = state.order === "disagree" ? [state.score, state.second] : [state.score];
    about.textContent = scored().length ? shown.map((score) => `${set().scores[score][0]} ${change(apart(set(), score, state.a, state.b, at))}`).join(", ") : `seed ${place.seed}`;
    text.append(prompt, about);
    box.append(text);
    box.addEventListener("click", () => go(at));
    return box;
  };
  // Only what can be seen is in the document.
  const draw = () => {
    const first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - 3);
    const last = Math.min(found.length, Math.ceil((list.scrollTop + list.clientHeight) / HEIGHT) + 3);
    const items = [];
    for (let i = first; i < last; i++) items.push(item(i));
    list.firstElementChild.replaceChildren(...items);
    const at = found.indexOf(state.at);
    if (at >= first && at < last) list.setAttribute("aria-activedescendant", `b-item-${at}`);
    else list.removeAttribute("aria-activedescendant");
  };
  let waiting = false;
  list.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  });

  // -- the pair --------------------------------------------------------------------------------------------

  const picture = (pane, row, side) => {
    const image = pane.querySelector("img");
    const place = placeOf(set(), state.at);
    const [, title, role, , , frames] = set().rows[row];
    image.src = thumb(set().thumbs[row][state.at]);
    image.alt = `${side}, ${title}: ${place.text.slice(0, 200)}`;
    pane.querySelector("figcaption").textContent = `${side}  ${title}${role === "asked" ? "" : ` (${role.replaceAll("_", " ")})`}`;
    pane.querySelector("figcaption").title = title;
    const small = image.src;
    const done = () => {
      image.classList.toggle("small", image.naturalWidth <= 128);
      if (Math.max(image.naturalWidth, image.naturalHeight) <= record.exact || frames > 1 || image.src !== small) return;
      const whole = new Image(); // the full picture in place of the small one, where it can be had
      whole.onload = () => { if (image.src === small) image.src = whole.src; };
      whole.src = full(set(), row, state.at);
    };
    if (image.complete && image.naturalWidth) done();
    else image.onload = () => { image.onload = null; done(); };
  };
  const show = () => {
    const none = state.at < 0;
    stage.hidden = none;
    byId("b-prompt").textContent = none ? "No pair is like this." : "";
    byId("b-about").replaceChildren();
    byId("b-scores").tBodies[0].replaceChildren();
    if (none) return;
    const place = placeOf(set(), state.at);
    picture(panes[0], state.a, "A");
    picture(panes[1], state.b, "B");
    const veil = veiled(place, state.at);
    stage.classList.toggle("veiled", veil);
    stage.classList.remove("other");
    byId("b-reveal").hidden = !veil;
    byId("b-prompt").textContent = place.text;
    const said = place.values.map((value, i) => (value < 0 ? "" : `${record.fields[i][0]}: ${record.fields[i][1][value]}`)).filter(Boolean);
    byId("b-about").append(`seed ${place.seed}`, ...said.map((text) => `, ${text}`));
    for (const [side, row] of [["A", state.a], ["B", state.b]]) {
      const link = document.createElement("a");
      link.href = full(set(), row, state.at);
      link.target = "_blank";
      link.textContent = `file ${side}`;
      byId("b-about").append(", ", link);
    }
    byId("b-scores").tBodies[0].replaceChildren(...scored().map(([name, score]) => {
      const line = document.createElement("tr");
      const better = gain(set(), score, state.a, state.b, state.at);
      const sign = !set().scores[score][2] || !better ? "" : better > 0 ? " \u25b2" : " \u25bc";
      const texts = [name, number(point(set(), score, state.a, state.at)), number(point(set(), score, state.b, state.at)), change(apart(set(), score, state.a, state.b, state.at)) + sign];
      texts.forEach((text, i) => {
        const cell = line.insertCell();
        cell.textContent = text;
        if (i) cell.className = "number";
      });
      line.className = score === state.score ? "order" : "";
      if (sign) line.lastElementChild.classList.add(better > 0 ? "better" : "worse");
      return line;
    }));
    remember();
  };
  const go = (at) => {
    state.at = at;
    reveal();
    draw();
    show();
  };
  const move = (by) => {
    const to = found[Math.min(found.length - 1, Math.max(0, found.indexOf(state.at) + by))];
    if (to !== undefined && to !== state.at) go(to);
  };

  // -- the address -----------------------------------------------------------------------------------------

  const address = () => `#picture=${placeOf(set(), state.at).name}&a=${set().rows[state.a][0]}&b=${set().rows[state.b][0]}`;
  let later = 0;
  const remember = () => {
    clearTimeout(later); // browsers refuse it to who does it too often
    later = setTimeout(() => {
      if (dialog.open && state.at >= 0 && location.hash !== address()) history.replaceState({ pushed }, "", address());
    }, 120);
  };
  const open = () => {
    if (dialog.open) return;
    wanted = true;
    dialog.showModal();
    document.documentElement.style.overflow = "hidden";
    list.focus({ preventScroll: true });
  };
  const close = () => {
    wanted = false;
    clearTimeout(later);
    if (dialog.open) dialog.close();
    document.documentElement.style.overflow = "";
    if (opener) opener.focus({ preventScroll: true });
    opener = null;
  };
  const leave = () => {
    close();
    if (pushed) history.back();
    else if (location.hash.startsWith("#picture=")) history.replaceState(null, "", location.pathname + location.search);
    pushed = false;
  };
  // A manifest, at its first row that was asked for.
  const enter = (number) => {
    Object.assign(state, { set: number, at: -1, model: "" });
    state.a = Math.max(0, set().rows.findIndex((row) => row[2] === "asked"));
    state.b = beside(state.a);
  };
  const browse = (number) => {
    enter(number);
    pushed = true;
    open();
    fillChoices();
    fit();
    list.scrollTop = 0;
    relist(false);
    history.pushState({ pushed }, "", state.at < 0 ? "#picture=" : address());
  };
  // What the address says: a pair to be shown, or none.
  const follow = () => {
    const words = new URLSearchParams(location.hash.slice(1));
    const name = words.get("picture");
    if (!name) {
      pushed = false;
      close();
      return;
    }
    const row = (one, id) => one.rows.findIndex((found) => found[0] === id);
    const has = (one) => row(one, words.get("a")) >= 0 && row(one, words.get("b")) >= 0;
    const at = (one) => one.places.findIndex((place) => record.places[place][2] === name);
    const sets = [record.sets[state.set], ...record.sets].filter((one) => one && has(one));
    const one = sets.find((some) => at(some) >= 0) || sets[0];
    if (!one) {
      say("This page has not the rows of that link");
      return;
    }
    pushed = Boolean(history.state && history.state.pushed);
    Object.assign(state, { set: record.sets.indexOf(one), a: row(one, words.get("a")), b: row(one, words.get("b")), at: at(one) });
    if (state.at < 0) say("This page has not the picture of that link");
    open();
    fillChoices();
    if (state.at >= 0 && !listed(set(), state).includes(state.at)) {
      Object.assign(state, { field: "", value: "", order: state.order === "disagree" ? "win" : state.order });
      fillChoices();
    }
    relist(true);
  };
  addEventListener("popstate", follow);

  // -- events ----------------------------------------------------------------------------------------------

  const numeric = (id) => (byId(id).value === "" ? "" : Number(byId(id).value));
  byId("b-form").addEventListener("submit", (event) => event.preventDefault());
  byId("b-form").addEventListener("change", (event) => {
    if (event.target.id === "b-set") {
      enter(numeric("b-set"));
      fillChoices();
      relist(false);
      return;
    }
    if (event.target.id === "b-unsafe") state.revealed = -1;
    if (event.target.id === "b-field") byId("b-value").value = "";
    Object.assign(state, { a: numeric("b-a"), b: numeric("b-b"), score: numeric("b-score"), second: numeric("b-second"), field: numeric("b-field"), value: numeric("b-value"), order: byId("b-order").value, model: byId("b-model").value });
    fillChoices();
    if (["b-order", "b-score", "b-second"].includes(event.target.id)) list.scrollTop = 0;
    relist(!["b-order", "b-score", "b-second"].includes(event.target.id));
  });
  const unfold = (button, box, name) => button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", open);
    if (name) box.classList.toggle(name, open);
    else box.hidden = !open;
  });
  unfold(byId("b-choices"), byId("b-form"), "open");
  unfold(byId("b-help"), byId("b-keys"));
  byId("b-close").addEventListener("click", leave);
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); leave(); });
  dialog.addEventListener("close", () => { if (wanted) leave(); });
  byId("b-in").addEventListener("click", () => zoom(1.5));
  byId("b-out").addEventListener("click", () => zoom(1 / 1.5));
  byId("b-reset").addEventListener("click", fit);
  byId("b-link").addEventListener("click", () => copy(location.href.split("#")[0] + address(), "Link"));
  byId("b-reveal").addEventListener("click", () => { state.revealed = state.at; list.focus({ preventScroll: true }); draw(); show(); });
  const swap = () => {
    [state.a, state.b] = [state.b, state.a];
    fillChoices();
    relist(true);
  };
  byId("b-swap").addEventListener("click", swap);

  const keys = {
    j: () => move(1), k: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1),
    PageDown: () => move(8), PageUp: () => move(-8), Home: () => move(-Infinity), End: () => move(Infinity),
    1: () => mode("side"), 2: () => mode("slider"), 3: () => mode("flicker"),
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: fit, x: swap, "?": () => byId("b-help").click(),
    f: () => flicker(true),
  };
  addEventListener("keydown", (event) => { // wherever the focus went
    if (!dialog.open) return;
    const { target, key } = event; // what is typed into a choice or a slider is theirs, but for j and k
    const theirs = target.matches("select") ? !"jk".includes(key) : target.matches("input") && key.length > 1;
    if (theirs || event.ctrlKey || event.metaKey || event.altKey || !keys[key]) return;
    event.preventDefault();
    keys[event.key](event);
  });
  addEventListener("keyup", (event) => { if (event.key === "f") stage.classList.remove("other"); });
  addEventListener("resize", () => { if (dialog.open) draw(); });
  for (const button of document.querySelectorAll("[data-browse]")) {
    button.addEventListener("click", () => { opener = button; browse(Number(button.dataset.browse)); });
  }
  if (location.hash.startsWith("#picture=")) follow();
})();
