// Plots of the figures that the tables show. plotly.js reads a few tags in texts: all are escaped,
// and none but <br> is used, since it sets bold type by style attributes, which the policy refuses.
const COLOURS = 8;
const SYMBOLS = [
  "circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon",
];
const VERDICTS = {
  reached: ["--good", "circle"],
  undecided: ["--soft", "diamond"],
  "not reached": ["--bad", "square"],
  "no verdict": ["--soft", "circle-open"],
};
const MOST_LINES = 60; // of the plots with a line a system
const MOST_TEXTS = 1200; // in cells of the heat map, which take longest to draw
const COSTS = { query_flops: "~s", latency_p50_ms: "~g", index_bytes: "" };

const plain = (text) =>
  text.replace(/[&<>]/g, (char) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[char]);

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

const colour = (name) => {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};

const narrow = () => window.innerWidth < 640;

const layoutOf = (height, more) => {
  const ink = colour("--ink");
  const family = getComputedStyle(document.body).fontFamily;
  const axis = {
    gridcolor: colour("--rule"), linecolor: colour("--rule"), zeroline: false, automargin: true,
    tickfont: { size: 12 },
  };
  return {
    height,
    font: { family, size: 13, color: ink },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 8, r: 8, t: narrow() ? 36 : 8, b: 8 },
    hoverlabel: {
      align: "left", bgcolor: colour("--page"), bordercolor: colour("--soft"),
      font: { color: ink, size: 13, family },
    },
    legend: narrow()
      ? { orientation: "h", x: 0, y: -0.25, yanchor: "top" }
      : { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    modebar: {
      bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: ink, orientation: "h",
    },
    dragmode: narrow() ? false : "zoom",
    hovermode: "closest",
    showlegend: true,
    ...more,
    xaxis: { ...axis, ...more.xaxis },
    yaxis: { ...axis, ...more.yaxis },
  };
};

const titled = (text) => ({ text: plain(text), font: { size: 13 } });

const draw = (place, traces, layout) =>
  Plotly.react(place, traces, layout, {
    responsive: true, displaylogo: false, scrollZoom: false,
    displayModeBar: layout.showlegend && (narrow() || "hover"), // a finger cannot hover
    // These buttons and no others: one of plotly.js' own sends the figures to its makers.
    modeBarButtons: [["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]],
    showSendToCloud: false, plotlyServerURL: "",
  });

const columnPlace = (section, key) => section.columns.findIndex((column) => column.key === key);

const cellAt = (section, row, key) => {
  const place = columnPlace(section, key);
  return cellOf(place < 0 ? "" : row[place]);
};

// An interval's ends from its text, "0.6102–0.6800".
const ends = (note) => {
  const [low, high] = note.split("–").map(number);
  return high === undefined ? null : [low, high];
};

// All that a row shows, a line a figure.
const story = (section, row) => {
  const system = view.systems[rowOf(row).system];
  const lines = section.columns.slice(1).map((column) => {
    const { text, note, tag } = cellAt(section, row, column.key);
    const more = tag === "front" ? "on the front" : tag;
    const figures = [text || ABSENT, note && `(${note})`, more].filter(Boolean);
    return `${column.header}: ${figures.join(" ")}`;
  });
  return [system.mode, system.model, short(system.settings, 80), ...lines];
};

const hover = (section, row) => story(section, row).filter(Boolean).map(plain).join("<br>");

const errors = (points, axis, ink) => {
  const spread = points.map((point) => point.ends);
  if (!spread.some(Boolean)) return {};
  return {
    [`error_${axis}`]: {
      type: "data", symmetric: false, thickness: 1, width: 3, color: ink,
      array: points.map(({ ends: pair, value }) => (pair ? pair[1] - value : 0)),
      arrayminus: points.map(({ ends: pair, value }) => (pair ? value - pair[0] : 0)),
    },
  };
};

const binaryTicks = (costs) => {
  const [least, most] = [Math.min(...costs), Math.max(...costs)].map(Math.log2);
  const step = most - least > 16 ? 5 : most - least > 6 ? 2 : 1;
  const powers = Array.from({ length: 46 }, (_, power) => power).filter((p) => p % step === 0);
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  return {
    tickvals: powers.map((power) => 2 ** power),
    ticktext: powers.map((power) => `${2 ** (power % 10)} ${units[Math.floor(power / 10)]}`),
  };
};

const drawPareto = (place, section, rows, cost) => {
  const points = rows
    .map((row) => {
      const { text, tag } = cellAt(section, row, cost);
      const quality = cellAt(section, row, "value");
      return {
        row, cost: number(text), value: number(quality.text), front: tag === "front",
        ends: quality.note ? ends(quality.note) : null,
      };
    });
  const drawn = points.filter((point) => point.value !== null && point.cost > 0);
  const kinds = view.kinds.map((name, kind) => ({ name, kind }));
  const traces = kinds.flatMap(({ name, kind }) => {
    const members = drawn.filter(({ row }) => view.systems[rowOf(row).system].kind === kind);
    if (!members.length) return [];
    const ink = colour(`--c${(kind % COLOURS) + 1}`);
    return [{
      name: plain(short(name, 30)), mode: "markers",
      x: members.map((point) => point.cost), y: members.map((point) => point.value),
      hovertext: members.map(({ row }) => hover(section, row)), hoverinfo: "text",
      customdata: members.map(({ row }) => story(section, row).join(", ")),
      marker: {
        color: ink, symbol: SYMBOLS[kind % SYMBOLS.length], size: 10,
        line: { color: colour("--page"), width: 1 },
      },
      ...errors(members, "y", ink),
    }];
  });
  const front = drawn.filter((point) => point.front).sort((a, b) => a.cost - b.cost);
  if (front.length) {
    traces.unshift({
      name: "Pareto front", mode: "lines+text", x: front.map((point) => point.cost),
      y: front.map((point) => point.value), hoverinfo: "skip",
      text: front.map(({ row }) =>
        narrow() ? "" : `${plain(short(view.systems[rowOf(row).system].label, 26))}\u2002`),
      textposition: "top left", textfont: { size: 12, color: colour("--soft") }, cliponaxis: false,
      line: { shape: "hv", color: colour("--soft"), width: 1.25, dash: "dot" },
    });
  }
  const header = section.columns[columnPlace(section, cost)]?.header ?? "";
  const costs = drawn.map((point) => point.cost);
  const ticks = cost === "index_bytes" && costs.length ? binaryTicks(costs) : {};
  const [least, most] = [Math.min(...costs), Math.max(...costs)].map(Math.log10);
  const span = Math.max(most - least, 0.3);
  // Nothing can lie to the upper left of the front, so its labels stand there and need room.
  const range = costs.length ? [least - (narrow() ? 0.06 : 0.2) * span, most + 0.06 * span] : undefined;
  const left = points.filter((point) => !drawn.includes(point));
  draw(place, traces, layoutOf(narrow() ? 420 : 480, {
    xaxis: {
      type: "log", title: titled(`${header}, logarithmic`), tickformat: COSTS[cost], range,
      ...ticks,
    },
    yaxis: { title: titled(section.metric), tickformat: ".2f" },
  }));
  return { left, drawn };
};

const drawRatio = (place, section, rows) => {
  const points = rows
    .map((row) => {
      const { text, note, tag } = cellAt(section, row, "ratio");
      return {
        row, value: number(text), ends: note ? ends(note) : null,
        verdict: tag in VERDICTS ? tag : "no verdict",
      };
    })
    .filter((point) => point.value !== null)
    .slice(0, MOST_LINES);
  const traces = Object.entries(VERDICTS).flatMap(([verdict, [name, symbol]]) => {
    const members = points.filter((point) => point.verdict === verdict);
    if (!members.length) return [];
    const ink = colour(name);
    return [{
      name: verdict, mode: "markers",
      x: members.map((point) => point.value), y: members.map((point) => points.indexOf(point)),
      hovertext: members.map(({ row }) => hover(section, row)), hoverinfo: "text",
      customdata: members.map(({ row }) => story(section, row).join(", ")),
      marker: { color: ink, symbol, size: 10 },
      ...errors(members, "x", ink),
    }];
  });
  const line = (x, dash) => ({
    type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1,
    line: { color: colour("--soft"), width: 1.25, dash },
  });
  const most = narrow() ? 22 : 44;
  const reach = points.flatMap((point) => point.ends ?? [point.value]).concat(view.threshold, 100);
  const [least, last] = [Math.min(...reach), Math.max(...reach)];
  draw(place, traces, layoutOf(Math.max(200, 120 + 28 * points.length), {
    shapes: [line(view.threshold, "dash"), line(100, "solid")],
    annotations: [[view.threshold, "threshold"], [100, "dense"]].map(([x, text]) => ({
      x, text, yref: "paper", y: 1, yanchor: "top", xanchor: "left", showarrow: false,
      font: { size: 11, color: colour("--soft") },
    })),
    xaxis: {
      title: titled("per cent of dense"), ticksuffix: " %",
      range: [least - 0.06 * (last - least), last + 0.06 * (last - least)],
    },
    yaxis: {
      tickvals: points.map((_, index) => index), showgrid: true, range: [points.length - 0.5, -1],
      ticktext: points.map(({ row }) => plain(short(view.systems[rowOf(row).system].label, most))),
    },
  }));
  return points.length;
};

const drawMap = (place, tasks, order, key) => {
  const systems = order.slice(0, MOST_LINES);
  const cells = tasks.map((task) =>
    new Map(task.rows.map((row) => [rowOf(row).system, cellAt(task, row, key)])));
  const grid = (of) => systems.map((system) =>
    tasks.map((task, column) => of(cells[column].get(system) ?? cellOf(""), system, task)));
  const texts = grid((cell) => cell.text);
  const absent = grid((cell) => (cell.text ? null : 0));
  const told = grid((cell, system, task) => [
    plain(view.systems[system].label), plain(`${task.name}, ${task.metric}`),
    plain([cell.text || "missing", cell.note && `(${cell.note})`, cell.tag].filter(Boolean).join(" ")),
  ].join("<br>"));
  const labels = Math.min(narrow() ? 130 : 300, place.clientWidth / 2);
  const flatHeads = tasks.length <= 7 && !narrow();
  const usual = { type: "heatmap", xgap: 2, ygap: 2, showscale: false, text: texts, hovertext: told, hoverinfo: "text" };
  const ink = colour("--ink");
  const flat = (name) => [[0, colour(name)], [1, colour(name)]];
  draw(place, [
    {
      ...usual, z: grid((cell) => number(cell.text)), hoverongaps: false,
      colorscale: [[0, colour("--heat-low")], [1, colour("--heat-high")]],
      ...(systems.length * tasks.length <= MOST_TEXTS ? { texttemplate: "%{text}" } : {}),
      textfont: { size: 12, color: ink },
    },
    {
      ...usual, z: absent, colorscale: flat("--hover"), hoverongaps: false,
      text: absent.map((row) => row.map((z) => (z === null ? "" : "missing"))),
      texttemplate: "%{text}", textfont: { size: 11, color: colour("--soft") },
    },
  ], layoutOf((flatHeads ? 60 : 150) + 28 * systems.length, {
    width: Math.max(place.clientWidth, labels + 64 * tasks.length), showlegend: false,
    dragmode: false, margin: { l: 8, r: flatHeads ? 8 : 70, t: 8, b: 8 },
    xaxis: {
      side: "top", showgrid: false, tickvals: tasks.map((_, index) => index),
      ticktext: tasks.map((task) => plain(short(task.name, 24))), tickangle: flatHeads ? 0 : -50,
    },
    yaxis: {
      showgrid: false, tickvals: systems.map((_, index) => index), autorange: "reversed",
      ticktext: systems.map((system) => plain(short(view.systems[system].label, narrow() ? 18 : 44))),
    },
  }));
  return systems.length;
};
