"use strict";
// The page itself: light and dark, copying, and the baseline of each table of rows.
const byId = (id) => document.getElementById(id);
const record = JSON.parse(byId("record").textContent);

const say = (text) => {
  byId("said").textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { byId("said").textContent = ""; }, 1800);
};

const copy = async (text, what) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    (document.querySelector("dialog[open]") || document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(`${what} copied`);
};

const digits = (half) => (Number.isFinite(half) && half > 0 ? Math.min(12, Math.max(0, 1 - Math.floor(Math.log10(half)))) : 2);

const signed = (x, n) => (x < 0 ? "\u2212" : "+") + Math.abs(x).toFixed(n);

// A paired difference: "+0.25 [+0.10, +0.40]"; null is no bound.
const interval = (value, low, high) => {
  const n = digits(high === null ? NaN : high - value);
  return low === null || high === null ? signed(value, n) : `${signed(value, n)} [${signed(low, n)}, ${signed(high, n)}]`;
};

// By score and two rows: n, the difference of the first to the second, its ends.
const differencesOf = (set) => {
  const found = new Map();
  for (const [score, i, j, n, value, low, high] of set.diffs) {
    found.set(`${score}/${i}/${j}`, [n, value, low, high]);
    found.set(`${score}/${j}/${i}`, [n, -value, high === null ? null : -high, low === null ? null : -low]);
  }
  return found;
};

const baselines = (box) => {
  const set = record.sets[box.dataset.set];
  const table = document.querySelector(`table.rows[data-set="${box.dataset.set}"]`);
  const select = box.querySelector("select");
  const differences = differencesOf(set);
  const cells = [...table.querySelectorAll("td[data-score], td[data-cost]")];
  const means = cells.map((cell) => cell.textContent);
  const own = new Map(set.controls.map(([row, role, control]) => [`${row}/${role}`, control]));
  const roles = [...new Set(set.controls.map(([, role]) => role))].sort((a, b) => (b === record.against) - (a === record.against));
  const words = (role) => role.replaceAll("_", " ");

  select.append(new Option("none: means", ""));
  for (const role of roles) select.append(new Option(`each row's own ${words(role)} control`, `role:${role}`));
  if (set.alone) select.append(...set.rows.map((row, i) => new Option(row[1], `row:${i}`)));
  for (const button of box.querySelectorAll("button")) button.disabled = !roles.includes(button.dataset.role);

  const put = (cell, row, against) => {
    if (cell.dataset.cost !== undefined) {
      const [ours, theirs] = [row, against].map((i) => set.costs[i][cell.dataset.cost]);
      cell.textContent = signed(ours - theirs, 0);
      return;
    }
    const found = differences.get(`${cell.dataset.score}/${row}/${against}`);
    if (!found) {
      cell.textContent = set.scores[cell.dataset.score][3] === "set" ? "not paired" : "\u2013";
      return;
    }
    const [n, value, low, high] = found;
    const better = set.scores[cell.dataset.score][2] * (low > 0 ? 1 : high < 0 && high !== null ? -1 : 0);
    cell.textContent = interval(value, low, high) + (better > 0 ? " \u25b2" : better < 0 ? " \u25bc" : "");
    cell.classList.toggle("better", better > 0);
    cell.classList.toggle("worse", better < 0);
    cell.title = `over ${n} prompts; ` + (better > 0 ? "better (95 %)" : better < 0 ? "worse (95 %)" : "no difference that is significant (95 %)");
  };

  const show = () => {
    const [kind, value] = select.value.split(":");
    cells.forEach((cell, i) => {
      const row = Number(cell.closest("tr").dataset.row);
      cell.classList.remove("better", "worse");
      cell.removeAttribute("title");
      const against = kind === "role" ? own.get(`${row}/${value}`) : Number(value);
      if (kind === "") cell.textContent = means[i];
      else if (against === undefined || against === row) cell.textContent = against === row ? "baseline" : "";
      else put(cell, row, against);
    });
    for (const button of box.querySelectorAll("button")) button.setAttribute("aria-pressed", select.value === `role:${button.dataset.role}`);
  };
  select.addEventListener("change", show);
  for (const button of box.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      select.value = button.getAttribute("aria-pressed") === "true" ? "" : `role:${button.dataset.role}`;
      show();
    });
  }
};

document.querySelectorAll(".baseline").forEach(baselines);

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(JSON.parse(byId("copied").textContent)[button.dataset.copy][button.dataset.form], button.dataset.form);
  const command = event.target.closest("[data-command]");
  if (command) copy(command.previousElementSibling.textContent, "Command");
});

byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

// A link to a row opens the list that holds it.
const openTarget = () => {
  const target = location.hash.length > 1 && !location.hash.startsWith("#picture=") && byId(decodeURIComponent(location.hash.slice(1)));
  const folded = target && target.closest("details");
  if (folded && !folded.open) {
    folded.open = true;
    target.scrollIntoView();
  }
};
addEventListener("hashchange", openTarget);
openTarget();
