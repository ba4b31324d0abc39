// Filters: which systems are shown, in all tables and plots alike, and by what they are grouped.
const state = { tab: 0, words: [], facets: [], chosen: new Set(), group: "" };
const tables = []; // { table, section }, as far as they were made

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
