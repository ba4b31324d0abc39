// Figures: the plots of the tab that is shown, of the systems that its table shows.
const tasksOf = (tab) =>
  view.tasks.filter((task) => tab === 0 || task.type === view.tabs[tab].type);

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
    source.rows.some((row) => ends(cellAt(source, row, "value").note)) ? "Bars are 95 % intervals." : "",
    "Dotted: the Pareto front of all systems.",
    narrow() ? "" : "Drag to zoom, double-click for all.",
    left.length ? `Not drawn, for want of a value or of a cost above 0: ${named(left.map(({ row }) => row))}.` : "",
  ].filter(Boolean).join(" ");
  const ratios = drawRatio($("ratio"), tab, rows);
  $("ratio-note").textContent =
    `Mean ratio over the tasks with 95 % intervals; dashed: the threshold of ${view.threshold} %.` +
    (ratios === MOST_LINES ? ` The first ${MOST_LINES} are drawn; filter to see others.` : "");
  name("pareto", `${source.metric} against cost, ${some.length} systems`);
  name("ratio", `ratio to dense, ${ratios} systems`);
  $("by-task").hidden = tasks.length < 2;
  if (tasks.length < 2) return;
  const systems = rows.map((row) => rowOf(row).system);
  const lines = drawMap($("map"), tasks, systems, $("heat").value);
  $("map-note").textContent =
    "The stronger the blue, the higher. “missing”: no such result." +
    (lines < systems.length ? ` The first ${lines} of ${systems.length} are drawn; filter to see others.` : "");
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
