// The page: tabs, filters, light and dark. It is whole without scripts; tables and plots come on top.
let view;
const $ = (id) => document.getElementById(id);
const state = { tab: 0, words: [], facets: [], chosen: new Set(), group: "" };
const tables = []; // { table, section }

const unpack = (id) => {
  const packed = Uint8Array.from(atob($(id).textContent), (char) => char.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
};

const run = async (id) => {
  const script = document.createElement("script");
  script.textContent = await unpack(id);
  document.head.append(script);
  script.remove();
};

// Which systems are shown.

const textOf = (system) =>
  [system.mode, system.model, system.settings, ...system.facets].join(" ").toLowerCase();

const visible = (place) => {
  const system = view.systems[place];
  const text = (system.text ??= textOf(system));
  return (
    state.words.every((word) => text.includes(word)) &&
    state.facets.every((value, facet) => value === null || system.facets[facet] === value)
  );
};

const plotted = (place) =>
  visible(place) && (state.chosen.size === 0 || state.chosen.has(place));

const choose = (place) => {
  const box = document.createElement("input");
  box.type = "checkbox";
  box.className = "choose";
  box.dataset.system = place;
  box.checked = state.chosen.has(place);
  box.setAttribute("aria-label", `Plot ${view.systems[place].label}`);
  box.title = "Tick systems to plot these only";
  box.addEventListener("change", () => {
    state.chosen[box.checked ? "add" : "delete"](place);
    for (const other of document.querySelectorAll(`.choose[data-system="${place}"]`)) {
      other.checked = box.checked;
    }
    tell();
    plot();
  });
  return box;
};

const tell = () => {
  const count = view.systems.filter((_, place) => visible(place)).length;
  const chosen = state.chosen.size ? `, ${state.chosen.size} ticked and plotted` : "";
  $("status").textContent = `${count} of ${view.systems.length} systems${chosen}`;
};

const filter = () => {
  state.words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  state.facets = [...document.querySelectorAll("[data-facet]")].map((select) =>
    select.selectedIndex ? select.value : null);
  for (const { table } of tables) table.draw();
  tell();
  plot();
};

const group = () => {
  state.group = $("group").value;
  for (const { table, section } of tables) groupTable(table, section, state.group);
};

const fillFilters = () => {
  for (const select of document.querySelectorAll("[data-facet]")) {
    const facet = Number(select.dataset.facet);
    const values = [...new Set(view.systems.map((system) => system.facets[facet]))].sort();
    for (const value of values) {
      const option = element("option", "", value || ABSENT);
      option.value = value;
      select.append(option);
    }
    select.parentElement.hidden = values.length < 2;
    select.addEventListener("change", filter);
  }
  let typed;
  $("search").addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(filter, 120);
  });
  $("group").addEventListener("change", group);
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("controls").addEventListener("reset", () => setTimeout(() => {
    state.chosen.clear();
    for (const box of document.querySelectorAll(".choose")) box.checked = false;
    group();
    filter();
  }));
};

// Tables are made when they are first seen.

const open = (place, section, more) => {
  if (!place || place.dataset.made) return;
  place.dataset.made = "yes";
  const table = makeTable(place, section, { visible, grouping: () => state.group, ...more });
  tables.push({ table, section });
  if (state.group !== "") groupTable(table, section, state.group);
};

const openTask = (details) => {
  const number = Number(details.dataset.task);
  if (details.open && !details.hidden) open($(`rows-${number}`), view.tasks[number], {});
};

const tasksOf = (tab) =>
  view.tasks.filter((task) => tab === 0 || task.type === view.tabs[tab].type);

const select = (tab, focus) => {
  state.tab = tab;
  for (const button of $("tabs").children) {
    const on = button.id === `tab-${tab}`;
    button.setAttribute("aria-selected", String(on));
    button.tabIndex = on ? 0 : -1;
    if (on && focus) button.focus();
  }
  for (const panel of document.querySelectorAll(".panel")) {
    panel.hidden = Number(panel.dataset.tab) !== tab;
  }
  open($(`overall-${tab}`), view.tabs[tab], { choose });
  $(`panel-${tab}`).append($("figures"), $("tasks"));
  const shown = new Set(tasksOf(tab));
  for (const details of document.querySelectorAll(".task")) {
    details.hidden = !shown.has(view.tasks[Number(details.dataset.task)]);
    openTask(details);
  }
  fillQualities();
  plot();
};

const makeTabs = () => {
  const buttons = [...$("tabs").children];
  buttons.forEach((button, tab) => {
    const panel = $(`panel-${tab}`);
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", button.id);
    button.addEventListener("click", () => select(tab, false));
  });
  $("tabs").addEventListener("keydown", (event) => {
    const last = buttons.length - 1;
    const next = {
      ArrowRight: state.tab === last ? 0 : state.tab + 1,
      ArrowLeft: state.tab === 0 ? last : state.tab - 1,
      Home: 0,
      End: last,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    select(next, true);
  });
};

// Plots show what the tables do.

const fillQualities = () => {
  const kept = $("quality").value;
  const options = [["", tasksOf(state.tab).length > 1 ? "mean" : "main score"]];
  if (tasksOf(state.tab).length > 1) {
    for (const task of tasksOf(state.tab)) options.push([String(view.tasks.indexOf(task)), task.name]);
  }
  $("quality").replaceChildren(...options.map(([value, text]) => {
    const option = element("option", "", text);
    option.value = value;
    return option;
  }));
  $("quality").value = options.some(([value]) => value === kept) ? kept : "";
};

const named = (rows) => {
  const labels = rows.map((row) => view.systems[rowOf(row).system].label);
  const rest = labels.length - 5;
  return labels.slice(0, 5).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
};

const plot = () => {
  if (!window.Plotly) return;
  const tab = view.tabs[state.tab];
  const tasks = tasksOf(state.tab);
  const rows = tab.rows.filter((row) => plotted(rowOf(row).system));
  const one = $("quality").value === "" ? tasks.length === 1 && tasks[0] : view.tasks[$("quality").value];
  const source = one || tab;
  const some = source.rows.filter((row) => plotted(rowOf(row).system));
  const { left } = drawPareto($("pareto"), source, some, $("cost").value);
  $("pareto-note").textContent = [
    one ? "Bars are 95 % intervals." : "",
    "Dotted: the Pareto front of all systems. Drag to zoom, double-click for all.",
    left.length ? `Not drawn, for want of a value or of a cost above 0: ${named(left.map(({ row }) => row))}.` : "",
  ].filter(Boolean).join(" ");
  const ratios = drawRatio($("ratio"), tab, rows);
  $("ratio-note").textContent =
    `Mean ratio over the tasks with 95 % intervals; dashed: the threshold of ${view.threshold} %.` +
    (ratios === MOST_LINES ? ` The first ${MOST_LINES} are drawn; filter to see others.` : "");
  const systems = rows.map((row) => rowOf(row).system);
  const lines = drawMap($("map"), tasks, systems, $("heat").value);
  $("map-note").textContent =
    "The stronger the blue, the higher. “missing”: no such result." +
    (lines < systems.length ? ` The first ${lines} of ${systems.length} are drawn; filter to see others.` : "");
  name("pareto", `${source.metric} against cost, ${some.length} systems`);
  name("ratio", `ratio to dense, ${ratios} systems`);
  name("map", `${lines} systems by ${tasks.length} tasks`);
};

const name = (id, text) => $(id).setAttribute("aria-label", `Plot: ${text}`);

// Arrow keys go from point to point, as the pointer does.
const walk = (place) => {
  let at = -1;
  place.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || event.target !== place) return;
    event.preventDefault();
    const points = place.data.flatMap((trace, curveNumber) =>
      (trace.customdata ?? []).map((told, pointNumber) => ({ told, curveNumber, pointNumber })));
    if (!points.length) return;
    at = (at + step + points.length) % points.length;
    const { told, ...point } = points[at];
    Plotly.Fx.hover(place, [point]);
    $("point").textContent = told;
  });
  place.addEventListener("blur", () => { at = -1; if (window.Plotly && place.data) Plotly.Fx.unhover(place); });
};

const fillCosts = () => {
  const headers = new Map(
    [...view.tabs, ...view.tasks].flatMap(({ columns }) => columns.map(({ key, header }) => [key, header])));
  for (const cost of Object.keys(COSTS).filter((key) => headers.has(key))) {
    const option = element("option", "", headers.get(cost));
    option.value = cost;
    $("cost").append(option);
  }
};

// Light or dark: the system's, unless this page was told otherwise.

const remembered = (theme) => {
  try { // pages from disk may have no storage
    if (theme) localStorage.setItem("theme", theme);
    return localStorage.getItem("theme");
  } catch { return null; }
};

const makeTheme = () => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const dark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const show = () => { $("theme").textContent = dark() ? "Light" : "Dark"; plot(); };
  const kept = remembered();
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  $("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remembered(root.dataset.theme);
    show();
  });
  system.addEventListener("change", show);
  show();
};

const start = async () => {
  makeTheme();
  view = JSON.parse(await unpack("packed-view"));
  await run("packed-tables");
  defineFigures();
  for (const part of document.querySelectorAll(".script")) part.hidden = false;
  $("tabs").hidden = view.tabs.length < 2;
  document.documentElement.classList.add("scripted");
  fillFilters();
  fillCosts();
  makeTabs();
  for (const details of document.querySelectorAll(".task")) {
    details.addEventListener("toggle", () => openTask(details));
  }
  for (const id of ["quality", "cost", "heat"]) $(id).addEventListener("change", plot);
  tell();
  select(0, false);
  await run("packed-plots");
  for (const id of ["pareto", "ratio"]) walk($(id));
  addEventListener("resize", () => requestAnimationFrame(plot));
  plot();
  document.documentElement.dataset.ready = "yes";
};

start().catch((error) => {
  $("trouble").textContent = "Sorting and plots need a newer browser; the tables are as they were written.";
  console.error(error);
});
