// Tables: DataTables sorts, groups and pages what the page's data holds. Cells are built from nodes
// only, and nothing is searchable to DataTables: it reads strings as HTML.
const ABSENT = "–";
const FACTORS = {
  k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15,
  KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40,
};
const ROWS_A_PAGE = 100;

// The number that a figure shows: "1.42 G" is 1.42e9; null where it shows none.
const number = (text) => {
  const found = /^<?([+-]?[\d,]*\.?\d+)(?:\s(\S+))?/.exec(text ?? "");
  return found && Number(found[1].replaceAll(",", "")) * (FACTORS[found[2]] ?? 1);
};

const cellOf = (value) => {
  const [text = "", note = "", tag = ""] = [value].flat();
  return { text, note, tag };
};

const rowOf = (row) => {
  const [system, mark = "", link] = [row[0]].flat();
  return { system, mark, link };
};

const element = (tag, className, ...children) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
};

const figureNode = (value) => {
  const { text, note, tag } = cellOf(value);
  const node = document.createDocumentFragment();
  const look = tag === "front" ? "figure front" : "figure";
  node.append(element("span", text ? look : "absent", text || ABSENT));
  if (note) node.append(element("span", "note", note));
  if (tag && tag !== "front") {
    const known = ["reached", "not reached", "undecided"].includes(tag);
    node.append(element("span", known ? `verdict ${tag.replace(" ", "-")}` : "verdict", tag));
  }
  return element("div", "", node);
};

const systemNode = (row, section, choose) => {
  const { system: place, mark, link: own } = rowOf(row);
  const system = view.systems[place];
  const link = own ?? (system.link && system.link + section.anchor);
  const mode = element(link ? "a" : "span", "mode", system.mode);
  if (link) mode.href = link;
  const lead = element("span", "lead", element("span", `dot c${(system.kind % COLOURS) + 1}`), mode);
  if (mark) lead.append(element("span", "mark", mark));
  if (choose) lead.prepend(choose(place));
  return element(
    "div", "", lead,
    element("span", "model", system.model), element("span", "settings", system.settings),
  );
};

const columnOf = (section, column, place, choose) => ({
  type: column.figure ? "figure" : "string",
  searchable: false,
  className: column.key,
  cellType: place ? "td" : "th",
  orderSequence: column.falling ? ["desc", "asc"] : ["asc", "desc"],
  createdCell: (cell) => { if (!place) cell.scope = "row"; },
  data: (row, kind) => {
    if (kind === "display") {
      return place ? figureNode(row[place]) : systemNode(row, section, choose);
    }
    if (!place) return view.systems[rowOf(row).system].label;
    const { text } = cellOf(row[place]);
    return column.figure ? number(text) : text;
  },
});

const facetOf = (row, facet) => view.systems[rowOf(row).system].facets[facet];

// Makes a table of a section; its rows in the page, which are for want of scripts, are replaced.
const makeTable = (place, section, { visible, choose, grouping }) => {
  place.tBodies[0].replaceChildren();
  for (const head of place.tHead.querySelectorAll("[hidden]")) head.hidden = false;
  const paging = section.rows.length > ROWS_A_PAGE;
  const table = new DataTable(place, {
    data: section.rows,
    columns: [
      ...section.columns.map((column, index) => columnOf(section, column, index, choose)),
      ...view.facets.map((_, facet) => ({
        visible: false,
        searchable: false,
        type: "string",
        data: (row, kind) =>
          kind === "display" ? document.createElement("span") : facetOf(row, facet),
      })),
    ],
    order: [],
    autoWidth: false,
    paging,
    pageLength: ROWS_A_PAGE,
    layout: {
      topStart: null, topEnd: null,
      bottomStart: paging ? "info" : null, bottomEnd: paging ? "paging" : null,
    },
    language: { emptyTable: "No system.", zeroRecords: "No system matches." },
    rowGroup: {
      enable: false,
      startRender: (rows, group) =>
        element("span", "", `${view.facets[grouping()]}: ${group || ABSENT} (${rows.count()})`),
    },
  });
  table.search.fixed("systems", (_text, row) => visible(rowOf(row).system));
  return table.draw();
};

const groupTable = (table, section, facet) => {
  const grouped = facet !== "";
  table.order.fixed({ pre: grouped ? [[section.columns.length + Number(facet), "asc"]] : [] });
  if (grouped) table.rowGroup().enable().rowGroup().dataSrc((row) => facetOf(row, facet));
  else table.rowGroup().disable();
  table.draw();
};

// Sorts figures as numbers; those that are absent stay last either way.
const defineFigures = () => {
  const order = (sign) => (a, b) =>
    a === null || b === null ? (a === null) - (b === null) : sign * (a - b);
  DataTable.type("figure", { order: { asc: order(1), desc: order(-1) } });
  DataTable.ext.errMode = "throw";
};
