// The page: tabs, filters, light and dark. It is whole without scripts; tables and plots come on top.
let view;
const $ = (id) => document.getElementById(id);

const unpack = (id) => {
  const text = atob($(id).textContent);
  const packed = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) packed[at] = text.charCodeAt(at);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
};

const run = async (id) => {
  const script = document.createElement("script");
  script.textContent = await unpack(id);
  document.head.append(script);
  script.remove();
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
  await new Promise((painted) => requestAnimationFrame(() => setTimeout(painted)));
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
