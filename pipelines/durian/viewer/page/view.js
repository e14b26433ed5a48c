// The viewer's page. What a dataset or a model wrote becomes text nodes and nothing else.
"use strict";

const PAGE_ROWS = 50;
const SVG = "http://www.w3.org/2000/svg";
const MATHML = "http://www.w3.org/1998/Math/MathML";
const VERDICT = "verdict";
const VERDICTS = [["1", "label wrong"], ["2", "fine"]];
const MATH_TAGS = new Set(("math mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover "
  + "mmultiscripts mprescripts mtable mtr mtd mstyle mpadded mphantom menclose none").split(" "));
const MATH_ATTRIBUTES = new Set(("accent accentunder depth display displaystyle fence form height largeop linethickness "
  + "lspace mathvariant maxsize minsize movablelimits notation rspace scriptlevel separator stretchy symmetric voffset "
  + "width columnspan rowspan").split(" "));

// ---- making elements ---------------------------------------------------------------------------

// Characters that are not seen, or turn the direction of writing, are shown as their escapes.
function visible(text) {
  return String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

function fill(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(visible(child)));
  }
  return node;
}

// el("p", { class: "soft", on: { click: f } }, "text", el("b", {}, "bold"))
function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, visible(value));
  }
  return fill(node, children);
}

function svg(tag, props = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(props)) {
    if (key === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else node.setAttribute(key, visible(value));
  }
  return fill(node, children);
}

function math([tag, attributes, children]) {
  if (!MATH_TAGS.has(tag)) return document.createTextNode("");
  const node = document.createElementNS(MATHML, tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (MATH_ATTRIBUTES.has(key)) node.setAttribute(key, value);
    else if (key === "align" && node.style) node.style.textAlign = value;
  }
  return fill(node, children.map((child) => (Array.isArray(child) ? math(child) : child)));
}

function rich(pieces, asWritten) {
  if (asWritten) return [pieces.map((piece) => (typeof piece === "string" ? piece : piece.tex)).join("")];
  return pieces.map((piece) => (typeof piece === "string" ? piece : math(piece.math)));
}

// In a list the image stands beside the problem; on a sample's page each mark says which it is.
const unmarked = (text) => text.replaceAll("<image>", " ").trim();

function numbered(pieces) {
  let k = 0;
  return pieces.map((piece) => (typeof piece === "string" ? piece.replaceAll("<image>", () => `[image ${(k += 1)}] `) : piece));
}

function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}

const percent = (share) => (share === null || share === undefined ? "–" : `${Number((100 * share).toPrecision(3))} %`);
const counted = (count, thing) => `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`;
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\"'\"'")}'`);

// ---- where samples come from: the server, or what stands in the page ------------------------------

async function ask(path, parameters = {}, body = null) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined));
  const options = body === null ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(`${path}?${query}`, options);
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error || answer.statusText);
  return found;
}

const server = {
  live: true,
  run: () => ask("api/run"),
  page: (view, start, count, columns) => ask("api/page", { view: JSON.stringify(view), start, count, columns: JSON.stringify(columns) }),
  facets: async (view, columns) => (await ask("api/facets", { view: JSON.stringify(view), columns: JSON.stringify(columns) })).facets,
  sample: (view, which) => ask("api/sample", { view: JSON.stringify(view), ...which }),
  like: async (place) => (await ask("api/like", { place })).like,
  charts: () => ask("api/charts"),
  filter: (view) => ask("api/filter", { view: JSON.stringify(view) }),
  mark: (place, verdict, note) => ask("api/mark", {}, { place, verdict, note }),
  thumbnail: (place) => `thumbnail/${place}`,
  image: (place, k) => `image/${place}/${k}`,
  why: async (url) => { const answer = await fetch(url); return answer.ok ? "" : (await answer.json()).error; },
};

// A page that was written to be shared holds its samples itself.
function held(data) {
  const rows = data.rows;
  const kind = new Map(data.run.columns.map((column) => [column.name, column.kind]));
  const value = (row, name) => (row.values[name] === undefined ? null : row.values[name]);
  const text = (row, name) => (value(row, name) === null ? null : String(value(row, name)));
  const passes = (row, clause) => {
    if (clause.values) return clause.values.includes(text(row, clause.column));
    const found = value(row, clause.column);
    return found !== null && (clause.low === undefined || found >= clause.low)
      && (clause.high === undefined || found <= clause.high) && (clause.below === undefined || found < clause.below);
  };
  const found = (view) => {
    const search = (view.search || "").toLowerCase();
    const kept = rows.filter((row) => (view.where || []).every((clause) => passes(row, clause))
      && (!search || row.text.includes(search)));
    if (!view.sort) return kept;
    const sign = view.down ? -1 : 1;
    return kept.map((row, k) => [value(row, view.sort), k, row]).sort(([a, i], [b, j]) => {
      if (a === null || b === null) return (a === null) - (b === null) || i - j;
      return sign * (kind.get(view.sort) === "number" ? a - b : String(a).localeCompare(String(b))) || i - j;
    }).map(([, , row]) => row);
  };
  return {
    live: false,
    run: async () => data.run,
    page: async (view, start, count) => { const all = found(view); return { total: all.length, start, rows: all.slice(start, start + count) }; },
    facets: async (view, columns) => columns.map((column) => {
      const bars = data.bars[column];
      const all = bars.all.map(() => 0), now = bars.all.map(() => 0), missing = [0, 0];
      const rest = new Set(found({ ...view, where: (view.where || []).filter((clause) => clause.column !== column), sort: null }));
      for (const row of rows) {
        const k = row.bars[column];
        if (k === null) { missing[0] += 1; missing[1] += rest.has(row); } else { all[k] += 1; now[k] += rest.has(row); }
      }
      return { column, edges: bars.edges, values: bars.values, all, now, missing };
    }),
    sample: async (view, which) => {
      const all = found(view), own = (row) => (which.id === undefined ? row.place === which.place : row.id === which.id);
      const row = rows.find(own), k = all.findIndex(own);
      if (!row) throw new Error("this page does not hold that sample");
      const around = k < 0 ? {} : { at: k, total: all.length, previous: k > 0 ? all[k - 1].place : null, next: k + 1 < all.length ? all[k + 1].place : null };
      return { ...row.sample, ...around };
    },
    like: async (place) => rows.find((row) => row.place === place).like,
    charts: async () => data.charts,
    thumbnail: (place) => data.images[place] ? data.images[place][0] : "",
    image: (place, k) => (data.images[place] || [])[k] || "",
    why: async () => "this page was written without the image",
  };
}

// ---- what is shown, and its address ---------------------------------------------------------------

const inPage = document.getElementById("data");
const source = inPage ? held(JSON.parse(inPage.textContent)) : server;
const app = document.getElementById("app");
const state = { view: {}, mode: "table", start: 0, sample: null, columns: [], facets: [] };
let run, byName, current = 0, shownRows = [], asWritten = false, turn = 0, pending = 0;

function readAddress() {
  const at = new URLSearchParams(location.search || location.hash.slice(1));
  const json = (key, otherwise) => { try { return JSON.parse(at.get(key)) ?? otherwise; } catch { return otherwise; } };
  state.view = json("view", run.view);
  state.columns = json("columns", run.shown).filter((name) => byName.has(name));
  state.mode = ["table", "grid", "charts"].includes(at.get("mode")) ? at.get("mode") : "table";
  state.start = Math.max(0, Number.parseInt(at.get("start"), 10) || 0);
  state.sample = at.get("sample");
}

function address() {
  const parts = { view: JSON.stringify(state.view) };
  if (state.mode !== "table") parts.mode = state.mode;
  if (state.start) parts.start = state.start;
  if (state.sample !== null) parts.sample = state.sample;
  if (JSON.stringify(state.columns) !== JSON.stringify(run.shown)) parts.columns = JSON.stringify(state.columns);
  return (source.live ? "?" : "#") + new URLSearchParams(parts);
}

function go(changes, { replace = false } = {}) {
  Object.assign(state, changes);
  history[replace ? "replaceState" : "pushState"](null, "", address());
  return draw();
}

function setView(changes) {
  const view = { ...state.view, ...changes };
  for (const key of Object.keys(view)) {
    if (!view[key] || (Array.isArray(view[key]) && !view[key].length)) delete view[key];
  }
  current = 0;
  return go({ view, start: 0, sample: null, mode: state.mode === "charts" ? "table" : state.mode });
}

function setClauses(columns, clauses) {
  const kept = (state.view.where || []).filter((clause) => !columns.includes(clause.column));
  return setView({ where: [...kept, ...clauses] });
}

const clauseOf = (column) => (state.view.where || []).find((clause) => clause.column === column);

function describe(clause) {
  if (clause.values) return `${clause.column}: ${clause.values.map((value) => (value === null ? "(none)" : value)).join(" or ")}`;
  const parts = [];
  if (clause.low !== undefined) parts.push(`≥ ${number(clause.low)}`);
  if (clause.high !== undefined) parts.push(`≤ ${number(clause.high)}`);
  if (clause.below !== undefined) parts.push(`< ${number(clause.below)}`);
  return `${clause.column} ${parts.join(", ")}`;
}

// ---- the frame ------------------------------------------------------------------------------------

const parts = {};

function frame() {
  parts.search = el("input", { type: "search", placeholder: "Search problems, answers, completions", "aria-label": "Search", maxlength: 500,
    on: { change: (event) => setView({ search: event.target.value.trim() }) } });
  parts.sql = el("input", { class: "sql", placeholder: "SQL condition, like pass_rate > 0", "aria-label": "SQL condition", spellcheck: "false",
    on: { change: (event) => setView({ sql: event.target.value.trim() }) } });
  const modes = ["table", "grid", "charts"];
  parts.modes = modes.map((mode) => el("button", { type: "button", on: { click: () => go({ mode, sample: null }) } }, mode));
  parts.error = el("p", { class: "error", role: "alert", hidden: true });
  parts.chips = el("div", { class: "chips" });
  parts.count = el("p", { class: "soft", role: "status" });
  parts.facets = el("div");
  parts.more = el("select", { "aria-label": "Add a column to filter by", on: { change: addFacet } });
  parts.aside = el("aside", { "aria-label": "Filters" },
    el("button", { class: "narrow", type: "button", on: { click: () => parts.aside.classList.toggle("open") } }, "Filters"), parts.facets, parts.more);
  parts.main = el("main", { tabindex: "-1" });
  parts.dialog = el("dialog", { "aria-label": "Image" });
  parts.help = el("dialog", { class: "help", "aria-label": "Keys" });
  const against = run.second ? ` and ${run.second}` : "";
  app.replaceChildren(
    el("header", {},
      el("div", { class: "bar" },
        el("div", { class: "grow" }, el("h1", {}, `${run.run}${against}`), el("p", { class: "soft names" }, [run.dataset, run.model, run.models].filter(Boolean).join(" · "))),
        el("span", { class: "seg", role: "group", "aria-label": "Show as" }, parts.modes),
        el("button", { type: "button", class: "wordy", on: { click: help } }, "Keys")),
      el("div", { class: "bar" }, parts.search, source.live && parts.sql, parts.count),
      parts.chips, parts.error),
    el("div", { class: "frame" }, parts.aside, parts.main), parts.dialog, parts.help);
  state.facets = run.facets.filter((name) => byName.has(name)).map((name, k) => ({ name, open: k < 6 || byName.get(name).kind === "choice" }));
  document.title = run.run;
}

function fillMore() {
  const known = new Set(state.facets.map((facet) => facet.name));
  const rest = run.columns.filter((column) => column.kind !== "text" && !known.has(column.name));
  parts.more.replaceChildren(el("option", { value: "" }, "Filter by another column…"), ...rest.map((column) => el("option", { value: column.name }, column.name)));
  parts.more.hidden = !rest.length;
}

function addFacet(event) {
  // By its place: the value of an option is shown, and shown text is escaped.
  const known = new Set(state.facets.map((facet) => facet.name));
  const rest = run.columns.filter((column) => column.kind !== "text" && !known.has(column.name));
  const column = rest[event.target.selectedIndex - 1];
  if (column) state.facets.push({ name: column.name, open: true });
  draw();
}

// Says to a reader's software, and to tests, that something is still asked for.
async function during(work) {
  pending += 1;
  app.setAttribute("aria-busy", "true");
  try { return await work(); } finally {
    pending -= 1;
    if (!pending) app.removeAttribute("aria-busy");
  }
}

function fail(error) {
  parts.error.hidden = false;
  parts.error.replaceChildren(visible(error.message || error));
}

const draw = () => during(drawNow);

async function drawNow() {
  const mine = (turn += 1);
  parts.error.hidden = true;
  parts.search.value = state.view.search || "";
  parts.sql.value = state.view.sql || "";
  parts.modes.forEach((button, k) => button.setAttribute("aria-pressed", ["table", "grid", "charts"][k] === state.mode && state.sample === null));
  const chip = (text, remove) => el("span", { class: "chip" }, text, el("button", { type: "button", "aria-label": `Remove: ${text}`, on: { click: remove } }, "×"));
  parts.chips.replaceChildren(
    ...(state.view.where || []).map((clause) => chip(describe(clause), () => setClauses([clause.column], []))),
    ...(state.view.search ? [chip(`“${state.view.search}”`, () => setView({ search: null }))] : []),
    ...(state.view.sql ? [chip(state.view.sql, () => setView({ sql: null }))] : []));
  try {
    await Promise.all([state.sample === null ? drawMode(mine) : drawSample(mine), drawFacets(mine)]);
  } catch (error) {
    if (mine !== turn) return;
    fail(error);
    parts.main.replaceChildren(el("p", {}, "Mend the condition, or take it away with its ×."));
    parts.more.hidden = true;
  }
}

function drawMode(mine) {
  return state.mode === "charts" ? drawCharts(mine) : drawList(mine);
}

// ---- table and grid -------------------------------------------------------------------------------

async function drawList(mine) {
  const found = await source.page(state.view, state.start, PAGE_ROWS, state.columns);
  if (mine !== turn) return;
  if (!found.rows.length && state.start) { go({ start: 0 }, { replace: true }); return; }
  shownRows = found.rows;
  current = Math.min(current, Math.max(0, shownRows.length - 1));
  parts.count.replaceChildren(`${counted(found.total, "sample")} of ${run.samples.toLocaleString("en")}`);
  const list = state.mode === "grid" ? grid(found.rows) : table(found.rows);
  parts.main.replaceChildren(menus(found.total), pager(found), found.rows.length ? list : el("p", {}, "No sample passes; take a condition away."), pager(found));
  select(current, false);
}

function pager(found) {
  const last = Math.min(found.start + PAGE_ROWS, found.total);
  const turnTo = (start) => { current = 0; go({ start }); };
  return el("div", { class: "pager" },
    el("button", { type: "button", disabled: found.start === 0, on: { click: () => turnTo(Math.max(0, found.start - PAGE_ROWS)) } }, "← earlier"),
    el("span", { class: "soft" }, found.total ? `${(found.start + 1).toLocaleString("en")} to ${last.toLocaleString("en")}` : ""),
    el("button", { type: "button", disabled: last >= found.total, on: { click: () => turnTo(found.start + PAGE_ROWS) } }, "later →"));
}

function picture(url, alt, cls) {
  if (!url) return el("div", { class: `none ${cls}` }, "no image");
  const node = el("img", { class: cls, alt, src: url, loading: "lazy" });
  node.addEventListener("error", async () => {
    const none = el("div", { class: `none ${cls}` }, "no image");
    node.replaceWith(none);
    if (cls === "tiny") return; // there is no room for it
    none.replaceChildren(visible(await source.why(url).catch(() => "no image")));
  });
  return node;
}

function open(row) {
  return go({ sample: row.id });
}

function cell(row, column) {
  const value = row.values[column.name];
  if (column.kind === "number") return el("td", { class: "number" }, number(value));
  const text = value === null || value === undefined ? "–" : String(value);
  return el("td", { class: column.kind === "text" ? "text long" : "text" }, el("span", {}, column.name === "problem" ? unmarked(text) : text));
}

function table(rows) {
  const columns = state.columns.map((name) => byName.get(name));
  const marks = rows.some((row) => row.values[VERDICT]);
  const head = (column) => {
    const sorted = state.view.sort === column.name;
    const next = () => (sorted ? (state.view.down ? { sort: null, down: false } : { down: true }) : { sort: column.name, down: false });
    return el("th", { scope: "col", "aria-sort": sorted ? (state.view.down ? "descending" : "ascending") : "none", title: [column.meaning, column.unit].filter(Boolean).join(", ") },
      el("button", { type: "button", on: { click: () => setView(next()) } }, column.name));
  };
  return el("div", { class: "wide list" }, el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "image"), columns.map(head), marks && el("th", { scope: "col" }, VERDICT))),
    el("tbody", {}, rows.map((row, k) => el("tr", { "data-place": row.place, tabindex: "0", on: { click: () => { current = k; open(row); }, focus: () => select(k, false) } },
      el("td", {}, picture(source.thumbnail(row.place), `Image of row ${row.values.row}`, "tiny")),
      columns.map((column) => cell(row, column)), marks && el("td", { class: "mark" }, row.values[VERDICT] || ""))))));
}

function grid(rows) {
  return el("div", { class: "cards" }, rows.map((row, k) => el("article", { class: "card", "data-place": row.place, tabindex: "0",
    on: { click: () => { current = k; open(row); }, focus: () => select(k, false) } },
    picture(source.thumbnail(row.place), `Image of row ${row.values.row}`, ""),
    el("p", {}, row.values.problem === undefined ? row.id : unmarked(row.values.problem)),
    el("div", { class: "soft" }, [row.values.answer, row.values.pass_rate !== undefined && row.values.pass_rate !== null && `${percent(row.values.pass_rate)} right`, row.values.why, row.values[VERDICT]].filter(Boolean).join(" · ")))));
}

function select(k, focus = true) {
  const nodes = parts.main.querySelectorAll("[data-place]");
  current = Math.max(0, Math.min(k, nodes.length - 1));
  nodes.forEach((node, at) => node.classList.toggle("current", at === current));
  if (focus && nodes[current]) nodes[current].focus({ preventScroll: false });
}

// ---- columns, ids, lines to copy --------------------------------------------------------------------

function menus(total) {
  const chooser = el("details", { class: "menu" }, el("summary", {}, "Columns"),
    el("div", {}, el("div", { class: "columns" }, run.columns.filter((column) => column.name !== VERDICT).map((column) => el("label", { title: column.meaning },
      el("input", { type: "checkbox", checked: state.columns.includes(column.name), on: { change: (event) => {
        const columns = event.target.checked ? [...state.columns, column.name] : state.columns.filter((name) => name !== column.name);
        go({ columns }, { replace: true }).then(() => parts.main.querySelector("details.menu").open = true);
      } } }), ` ${column.name}`)))));
  if (!source.live) return chooser;
  const line = el("input", { class: "copied", readonly: true, "aria-label": "Line to copy" });
  const first = el("input", { type: "number", min: 1, max: total, value: total, "aria-label": "How many of them", class: "first" });
  const put = (text) => { line.value = text; line.select(); if (navigator.clipboard) navigator.clipboard.writeText(text).catch(() => {}); };
  const ids = (suffix) => el("a", { href: "#", download: `ids.${suffix}`, on: { click: (event) => {
    event.currentTarget.href = `ids.${suffix}?${new URLSearchParams({ view: JSON.stringify(state.view), first: first.value || total })}`;
  } } }, `ids.${suffix}`);
  const exported = `durian export ${run.run_argument}`;
  const actions = el("details", { class: "menu" }, el("summary", {}, "Save or copy these samples"),
    el("div", {},
      el("div", { class: "bar" }, "The first", first, `of ${total.toLocaleString("en")} as`, ids("parquet"), "or", ids("jsonl")),
      el("div", { class: "bar" },
        el("button", { type: "button", on: { click: () => put(`${exported} --ids ids.parquet --to jsonl --out exported`) } }, "Export line of ids.parquet"),
        run.marks && el("button", { type: "button", on: { click: () => put(`${exported} --ids ${quoted(run.marks)} --to jsonl --out exported`) } }, "Export line of the marks"),
        el("button", { type: "button", on: { click: async () => {
          try {
            const { filter, why } = await source.filter(state.view);
            put(filter ? `--filter ${quoted(filter)}` : why || "all samples: no filter is needed");
          } catch (error) { fail(error); }
        } } }, "As --filter"),
        el("button", { type: "button", on: { click: () => put(location.href) } }, "Link to this view")),
      line,
      el("p", { class: "soft" }, run.marks ? `Marks are kept in ${run.marks}.` : "Marks are lost when the viewer ends; --marks FILE keeps them.")));
  return el("div", {}, chooser, actions);
}

// ---- facets -----------------------------------------------------------------------------------------

async function drawFacets(mine) {
  const names = state.facets.filter((facet) => facet.open).map((facet) => facet.name);
  const found = new Map((await source.facets(state.view, names)).map((facet) => [facet.column, facet]));
  if (mine !== turn) return;
  const focused = document.activeElement && document.activeElement.closest ? document.activeElement.closest("[data-facet]") : null;
  const at = focused ? [...focused.querySelectorAll("input,button,summary")].indexOf(document.activeElement) : -1;
  const which = focused ? focused.dataset.facet : null;
  parts.facets.replaceChildren(...state.facets.map((facet, k) => {
    const column = byName.get(facet.name), counts = found.get(facet.name);
    return el("details", { class: "facet", open: facet.open, "data-facet": k, on: { toggle: (event) => {
      if (facet.open === event.target.open) return;
      facet.open = event.target.open;
      if (facet.open) draw();
    } } }, el("summary", { title: [column.meaning, column.unit].filter(Boolean).join(", ") }, facet.name),
    counts && (column.kind === "number" ? histogram(column, counts) : choices(column, counts)));
  }));
  fillMore();
  if (which !== null) {
    const again = parts.facets.querySelector(`[data-facet="${which}"]`);
    const inner = again ? again.querySelectorAll("input,button,summary")[at] : null;
    if (inner) inner.focus();
  }
}

function choices(column, counts) {
  const clause = clauseOf(column.name), picked = clause ? clause.values : [];
  const values = [...counts.values, ...(counts.missing[0] ? [null] : [])];
  if (column.whose === "marks" && !counts.values.length) return el("p", { class: "soft" }, "Nothing is marked yet.");
  return values.map((value, k) => {
    const total = value === null ? counts.missing : [counts.all[k], counts.now[k]];
    const toggle = (event) => {
      const kept = values.filter((other) => (other === value ? event.target.checked : picked.includes(other)));
      setClauses([column.name], kept.length ? [{ column: column.name, values: kept }] : []);
    };
    const id = `choice-${state.facets.findIndex((facet) => facet.name === column.name)}-${k}`;
    return el("div", { class: "choice" }, el("input", { type: "checkbox", id, checked: picked.includes(value), on: { change: toggle } }),
      el("label", { for: id }, value === null ? "(none)" : value), el("span", { class: "count" }, `${total[1].toLocaleString("en")}${total[1] === total[0] ? "" : ` of ${total[0].toLocaleString("en")}`}`));
  });
}

function histogram(column, counts) {
  const bars = counts.all.length, most = Math.max(1, ...counts.all), width = 240, height = 54, clause = clauseOf(column.name);
  if (!bars) return el("p", { class: "soft" }, "no values");
  const edge = (k) => (counts.edges ? counts.edges[k] : counts.values[Math.min(k, bars - 1)]);
  const range = (from, to) => (counts.edges
    ? { column: column.name, low: edge(from), ...(to === bars - 1 ? { high: edge(bars) } : { below: edge(to + 1) }) }
    : { column: column.name, low: edge(from), high: edge(to) });
  const inside = (k) => {
    if (!clause) return true;
    if (clause.values) return false;
    const low = edge(k), high = counts.edges ? edge(k + 1) : low;
    return (clause.low === undefined || (counts.edges ? high > clause.low || (k === bars - 1 && high >= clause.low) : low >= clause.low))
      && (clause.high === undefined || low <= clause.high) && (clause.below === undefined || low < clause.below);
  };
  const root = (count) => height * Math.sqrt(count / most); // few are still seen beside many
  const step = width / bars;
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": `Histogram of ${column.name}; drag over it to pick a range` });
  for (let k = 0; k < bars; k += 1) {
    const where = { x: k * step + 0.5, width: Math.max(1, step - 1), class: inside(k) ? "" : "out" };
    const group = svg("g", { class: where.class }, svg("title", {}, `${counts.edges ? `${number(edge(k))} to ${number(edge(k + 1))}` : number(edge(k))}: ${counts.now[k]} of ${counts.all[k]}`));
    for (const [count, cls] of [[counts.all[k], "all"], [counts.now[k], "now"]]) {
      const high = count ? Math.max(1.5, root(count)) : 0;
      group.append(svg("rect", { x: where.x, width: where.width, y: height - high, height: high, class: cls }));
    }
    drawn.append(group);
  }
  const brush = svg("rect", { class: "brush", y: 0, height, width: 0, x: 0 });
  drawn.append(brush);
  const barAt = (event) => {
    const box = drawn.getBoundingClientRect();
    return Math.max(0, Math.min(bars - 1, Math.floor(((event.clientX - box.left) / box.width) * bars)));
  };
  let from = null;
  const show = (a, b) => { brush.setAttribute("x", Math.min(a, b) * step); brush.setAttribute("width", (Math.abs(a - b) + 1) * step); };
  drawn.addEventListener("pointerdown", (event) => { from = barAt(event); drawn.setPointerCapture(event.pointerId); show(from, from); event.preventDefault(); });
  drawn.addEventListener("pointermove", (event) => { if (from !== null) show(from, barAt(event)); });
  drawn.addEventListener("pointercancel", () => { from = null; brush.setAttribute("width", 0); });
  drawn.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const to = barAt(event), [a, b] = [Math.min(from, to), Math.max(from, to)];
    from = null;
    setClauses([column.name], [range(a, b)]);
  });
  const low = el("input", { "aria-label": `${column.name}, least`, inputmode: "decimal", placeholder: "least", value: clause && clause.low !== undefined ? clause.low : "" });
  const upper = clause ? clause.high ?? clause.below : undefined;
  const high = el("input", { "aria-label": `${column.name}, most`, inputmode: "decimal", placeholder: "most", value: upper !== undefined ? upper : "" });
  const typed = () => {
    const bounds = { column: column.name };
    for (const [key, input] of [["low", low], ["high", high]]) {
      const value = Number(input.value);
      if (input.value.trim() !== "" && Number.isFinite(value)) bounds[key] = value;
    }
    setClauses([column.name], Object.keys(bounds).length > 1 ? [bounds] : []);
  };
  low.addEventListener("change", typed);
  high.addEventListener("change", typed);
  const missing = counts.missing[0] ? el("div", { class: "soft" }, `${counts.missing[1].toLocaleString("en")} of ${counts.missing[0].toLocaleString("en")} without a value`) : null;
  return [drawn, el("div", { class: "ends" }, el("span", {}, number(edge(0))), el("span", {}, column.unit), el("span", {}, number(edge(bars)))),
    el("div", { class: "range" }, low, "to", high, clause && el("button", { type: "button", "aria-label": `Any ${column.name}`, on: { click: () => setClauses([column.name], []) } }, "×")), missing];
}

// ---- one sample -------------------------------------------------------------------------------------

async function drawSample(mine) {
  const found = await source.sample(state.view, { id: state.sample });
  if (mine !== turn) return;
  state.found = found;
  parts.count.replaceChildren(found.total === undefined ? "not among those that pass" : `${(found.at + 1).toLocaleString("en")} of ${counted(found.total, "sample")}`);
  const step = (to, text) => el("button", { type: "button", disabled: to === null || to === undefined, on: { click: () => openPlace(to) } }, text);
  const note = el("input", { placeholder: "note", "aria-label": "Note", maxlength: 2000, value: found.mark ? found.mark.note : "",
    on: { change: (event) => mark(found.mark ? found.mark.verdict : "marked", event.target.value) } });
  const verdicts = [...VERDICTS, ["m", "marked"]].map(([key, verdict]) => el("button", { type: "button", title: `key ${key}`,
    "aria-pressed": String(Boolean(found.mark && found.mark.verdict === verdict)), on: { click: () => toggleMark(verdict) } }, verdict));
  const nav = el("div", { class: "pager" }, el("button", { type: "button", on: { click: back } }, "↩ all samples"), step(found.previous, "← previous"), step(found.next, "next →"),
    source.live && [el("span", { class: "seg", role: "group", "aria-label": "Verdict" }, verdicts), note],
    el("button", { type: "button", "aria-pressed": String(asWritten), title: "key r", on: { click: rewrite } }, "as written"));
  const left = el("div", { class: "left" }, [images, problem, why, answersTable].map((part) => el("div", {}, part(found))));
  const both = found.second;
  const right = el("div", {}, both ? el("div", { class: "sides" }, completions(found, run.run), completions(both, run.second)) : completions(found, null));
  const rest = el("div", {}, both && pairs(both), measures(found), columnsTable(found));
  const like = el("div");
  parts.main.replaceChildren(nav, el("div", { class: both ? "sample two" : "sample" }, left, el("div", {}, right, rest)), like);
  parts.main.focus({ preventScroll: true });
  scrollTo(0, 0);
  const others = await source.like(found.place);
  if (mine !== turn) return;
  like.replaceChildren(el("h2", {}, "Samples like it"), others.length ? el("div", { class: "cards" }, others.map((one) => el("article", { class: "card", tabindex: "0",
    on: { click: () => go({ sample: one.sample_id }), keydown: (event) => { if (event.key === "Enter") { event.stopPropagation(); go({ sample: one.sample_id }); } } } },
    picture(source.thumbnail(one.place), "Image of a like sample", ""), el("p", {}, unmarked(one.problem)),
    el("div", { class: "soft" }, [one.why, one.answer, one.pass_rate !== null && `${percent(one.pass_rate)} right`].filter(Boolean).join(" · "))))) : el("p", {}, "None."));
}

const openPlace = (place) => during(async () => {
  if (place === null || place === undefined) return;
  const found = await source.sample(state.view, { place });
  await go({ sample: found.sample_id });
});

function back() {
  const at = state.found && state.found.at;
  if (at !== undefined && at !== null) { current = at % PAGE_ROWS; state.start = at - current; }
  return go({ sample: null });
}

function rewrite() {
  asWritten = !asWritten;
  draw();
}

const mark = (verdict, note) => during(async () => {
  if (!source.live || !state.found) return;
  try {
    await source.mark(state.found.place, verdict, note);
    await draw();
  } catch (error) { fail(error); }
});

function toggleMark(verdict) {
  const now = state.found && state.found.mark;
  return mark(now && now.verdict === verdict ? null : verdict, now ? now.note : "");
}

function images(found) {
  if (!found.images.length) return el("p", { class: "soft" }, "The sample has no image.");
  return el("div", { class: "shots" }, found.images.map((size, k) => {
    const url = source.image(found.place, k), name = `Image ${k + 1} of ${found.images.length}${size ? `, ${size}` : ""}`;
    if (!url) return el("div", { class: "none" }, "This page was written without the image.");
    const shot = el("img", { src: url, alt: name });
    const holder = el("button", { type: "button", title: `${name}; click to enlarge`, on: { click: () => zoom(url, name) } }, shot);
    shot.addEventListener("error", async () => {
      const small = el("img", { src: source.thumbnail(found.place), alt: name });
      const none = el("div", { class: "none" }, "no image");
      holder.replaceWith(el("div", {}, small, none));
      small.addEventListener("error", () => small.remove());
      none.replaceChildren(visible(await source.why(url).catch(() => "no image")));
    });
    return holder;
  }));
}

function zoom(url, name) {
  const shot = el("img", { src: url, alt: name });
  let size = 0;
  const scroll = el("div", { class: "scroll" }, shot);
  const show = (next) => {
    size = Math.max(0, Math.min(8, next));
    if (size === 0) { shot.style.maxWidth = "100vw"; shot.style.maxHeight = "100vh"; shot.style.width = ""; }
    else { shot.style.maxWidth = "none"; shot.style.maxHeight = "none"; shot.style.width = `${shot.naturalWidth * 2 ** (size - 1)}px`; }
    shot.style.imageRendering = size > 2 ? "pixelated" : "auto";
  };
  scroll.addEventListener("wheel", (event) => { if (event.ctrlKey || event.metaKey) { event.preventDefault(); show(size + (event.deltaY < 0 ? 1 : -1)); } }, { passive: false });
  shot.addEventListener("click", () => show(size ? 0 : 1));
  const tool = (text, label, act) => el("button", { type: "button", "aria-label": label, on: { click: act } }, text);
  parts.dialog.replaceChildren(scroll, el("div", { class: "tools" }, tool("−", "Smaller", () => show(size - 1)), tool("+", "Larger", () => show(size + 1)), tool("✕", "Close", () => parts.dialog.close())));
  parts.dialog.onkeydown = (event) => { if (event.key === "+") show(size + 1); if (event.key === "-") show(size - 1); event.stopPropagation(); };
  parts.dialog.showModal();
  show(0);
}

function problem(found) {
  return [el("h2", {}, `Problem, row ${found.row.toLocaleString("en")}`), el("div", { class: "whole problem" }, asWritten ? rich(found.problem_pieces, true) : rich(numbered(found.problem_pieces))),
    el("h2", {}, "Reference answer"), el("div", { class: "whole reference" }, rich(found.answer_pieces, asWritten)), el("p", { class: "soft" }, `${found.kind}: ${found.rule}`)];
}

function why(found) {
  const title = found.why === null ? "What speaks for it" : `Why: ${found.why}`;
  return [el("h2", {}, title), found.cause && el("p", {}, found.cause), el("ul", {}, found.evidence.map((line) => el("li", {}, line)))];
}

function verdictText(correct) {
  return correct === null ? el("span", { class: "mark" }, "not judged") : el("span", { class: `mark ${correct ? "right" : "wrong"}` }, correct ? "right" : "wrong");
}

function answersTable(found) {
  if (!found.answers.length) return null;
  const blind = found.answers.some((one) => one.blind);
  return [el("h2", {}, "Distinct answers"), el("div", { class: "wide" }, el("table", {}, el("thead", {}, el("tr", {}, ["answer", "completions", ...(blind ? ["without the image"] : []), ""].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, found.answers.map((one) => el("tr", {}, el("td", { class: "text" }, one.pieces === null ? "none found" : rich(one.pieces, asWritten)), el("td", {}, one.seen), blind && el("td", {}, one.blind), el("td", {}, verdictText(one.right)))))))];
}

function completions(found, of) {
  const seen = found.completions.filter((one) => !one.blind), blind = found.completions.filter((one) => one.blind);
  const list = (all) => all.map((one) => said(one));
  const heading = of ? `Completions, ${of}` : "Completions";
  if (!found.completions.length) return el("div", {}, el("h2", {}, heading), el("p", {}, "None were drawn."));
  if (!blind.length) return el("div", {}, el("h2", {}, heading), list(seen));
  return el("div", {}, el("div", { class: "sides" }, el("div", {}, el("h2", {}, heading), list(seen)), el("div", {}, el("h2", {}, "Without the image"), list(blind))));
}

function said(one) {
  const told = [one.reward !== null && `reward ${number(one.reward)}`, one.n_tokens !== null && counted(one.n_tokens, "token"),
    one.sum_logprob !== null && `log-probability ${number(one.sum_logprob)} (${number(one.mean_logprob)} a token)`,
    one.finish_reason && one.finish_reason !== "stop" && `ended by ${one.finish_reason}`, one.formatted === false && "not in the asked format",
    one.judged && "a judge was asked", one.step !== null && `step ${one.step}`].filter(Boolean);
  return el("article", { class: "said" }, el("div", { class: "how" }, el("span", {}, `${one.rollout + 1}. `, verdictText(one.correct)),
    el("span", { class: "extracted" }, "answer ", one.answer_pieces === null ? "none found" : el("b", {}, rich(one.answer_pieces, asWritten))), told.map((text) => el("span", { class: "soft" }, text))),
    el("div", { class: "whole completion" }, rich(one.pieces, asWritten)));
}

function spark(measure) {
  const most = Math.max(1, ...measure.counts), step = 110 / measure.counts.length;
  return svg("svg", { class: "spark", viewBox: "0 0 110 20", preserveAspectRatio: "none", "aria-hidden": "true" }, measure.counts.map((count, k) => {
    const high = count ? Math.max(1.5, 20 * Math.sqrt(count / most)) : 0;
    return svg("rect", { x: k * step + 0.3, width: Math.max(0.7, step - 0.6), y: 20 - high, height: high, class: k === measure.bar ? "here" : "all" });
  }));
}

function measures(found) {
  if (!found.measures.length) return null;
  const place = (one) => (one.counts.length === 1 ? "as every sample" : one.harder === null ? `above ${percent(one.below)} of samples` : `harder than ${percent(one.harder === "higher" ? one.below : one.above)}`);
  return [el("h2", {}, "Measures, among all samples"), el("div", { class: "wide" }, el("table", { class: "facts" }, el("tbody", {}, found.measures.map((one) => el("tr", {},
    el("th", { scope: "row", title: one.meaning }, one.name), el("td", { class: "number" }, `${number(one.value)} ${one.unit}`), el("td", {}, spark(one)), el("td", { class: "soft" }, place(one)))))))];
}

function columnsTable(found) {
  const rows = [["sample_id", found.sample_id], ["row", found.row], ...Object.entries(found.groups), ...Object.entries(found.rest), ...Object.entries(found.columns)];
  return [el("h2", {}, "Dataset row and columns"), el("div", { class: "wide" }, el("table", { class: "facts" }, el("tbody", {}, rows.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, typeof value === "number" && name !== "row" ? number(value) : value === null ? "–" : value))))))];
}

function pairs(both) {
  return [el("h2", {}, `Both runs: ${both.change}`), el("div", { class: "wide" }, el("table", { class: "facts" }, el("thead", {}, el("tr", {}, ["", run.run, run.second].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, both.pairs.map(([name, a, b]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, number(a)), el("td", {}, number(b)))))))];
}

// ---- charts -----------------------------------------------------------------------------------------

async function drawCharts(mine) {
  const found = await source.charts();
  if (mine !== turn) return;
  parts.count.replaceChildren(counted(run.samples, "sample"));
  if (found.missing) { parts.main.replaceChildren(el("p", {}, found.missing)); return; }
  const blocks = [...found.bars.map((chart) => block(`Errors by ${chart.title}`, bars(chart)))];
  if (found.heat) blocks.push(block("Errors by both groups", heat(found.heat)));
  blocks.push(...found.curves.map((chart) => block(`Errors along ${chart.column}`, curve(chart))));
  parts.main.replaceChildren(el("p", { class: "soft" }, "Share of wrong completions with 95 % intervals, as in the report. Click a bar, a cell or a point to see its samples."), el("div", { class: "charts" }, blocks));
}

const block = (title, drawn) => el("section", {}, el("h2", {}, title), drawn);

function link(mark, label, ...children) {
  const pick = () => setClauses([...new Set(mark.where.map((clause) => clause.column))], mark.where);
  return svg("g", { role: "button", tabindex: "0", "aria-label": label, on: { click: pick, keydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); event.stopPropagation(); pick(); } } } }, svg("title", {}, label), children);
}

const told = (name, mark) => `${name}: ${percent(mark.error.value)} wrong${mark.error.low === null ? "" : ` (${percent(mark.error.low)} to ${percent(mark.error.high)})`}, ${counted(mark.samples, "sample")}`;
const clip = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function bars({ marks }) {
  const row = 26, left = 110, wide = 420, scale = (wide - left - 12), high = marks.length * row + 8;
  return svg("svg", { viewBox: `0 0 ${wide} ${high}` }, marks.map((mark, k) => {
    const y = k * row + 4, value = mark.error.value ?? 0;
    return link(mark, told(mark.label, mark), svg("rect", { class: "hit", x: 0, y, width: wide, height: row - 2 }), svg("text", { x: left - 8, y: y + 15, "text-anchor": "end" }, clip(mark.label, 17)),
      svg("rect", { class: "all", x: left, y: y + 3, width: scale, height: row - 10, opacity: 0.35 }), svg("rect", { class: "now", x: left, y: y + 3, width: Math.max(0.5, value * scale), height: row - 10 }),
      mark.error.low === null ? null : svg("line", { class: "whisker", x1: left + mark.error.low * scale, x2: left + mark.error.high * scale, y1: y + 11, y2: y + 11 }));
  }));
}

function heat({ rows, columns, marks }) {
  const size = 36, left = 70, wide = left + columns.length * size + 6;
  const drawn = svg("svg", { viewBox: `0 0 ${Math.max(wide, 260)} ${rows.length * size + 26}` });
  rows.forEach((name, k) => drawn.append(svg("text", { x: left - 8, y: k * size + 22, "text-anchor": "end" }, name)));
  columns.forEach((name, k) => drawn.append(svg("text", { x: left + k * size + size / 2, y: rows.length * size + 16, "text-anchor": "middle" }, `bin ${name}`)));
  for (const mark of marks) {
    const x = left + columns.indexOf(mark.column) * size, y = rows.indexOf(mark.row) * size, value = mark.error.value ?? 0;
    const cell = svg("rect", { x: x + 1, y: y + 1, width: size - 2, height: size - 2, rx: 3, class: "now" });
    cell.style.fill = `rgb(${Math.round(20 + 150 * value)}, ${Math.round(92 - 25 * value)}, ${Math.round(140 - 140 * value)})`;
    drawn.append(link(mark, told(`${mark.row}, bin ${mark.column}`, mark), cell, svg("text", { class: "onheat", x: x + size / 2, y: y + 22, "text-anchor": "middle" }, Math.round(100 * value))));
  }
  return drawn;
}

function curve({ marks }) {
  const wide = 420, high = 190, left = 38, bottom = 24, most = marks.length - 1;
  const x = (k) => left + (most ? (k / most) * (wide - left - 16) : 0) + 4, y = (share) => 8 + (1 - share) * (high - bottom - 8);
  const drawn = svg("svg", { viewBox: `0 0 ${wide} ${high}` });
  for (const share of [0, 0.5, 1]) drawn.append(svg("line", { class: "axis", x1: left, x2: wide, y1: y(share), y2: y(share) }), svg("text", { x: left - 6, y: y(share) + 4, "text-anchor": "end" }, percent(share)));
  drawn.append(svg("polyline", { class: "line", points: marks.map((mark, k) => `${x(k)},${y(mark.error.value ?? 0)}`).join(" ") }));
  for (const k of [...new Set([0, Math.floor(most / 2), most])]) drawn.append(svg("text", { x: x(k), y: high - 6, "text-anchor": k === 0 ? "start" : k === most ? "end" : "middle" }, number(marks[k].at)));
  marks.forEach((mark, k) => drawn.append(link(mark, told(`near ${number(mark.at)}`, mark), svg("rect", { class: "hit", x: x(k) - 14, y: 0, width: 28, height: high - bottom }),
    mark.error.low === null ? null : svg("line", { class: "whisker", x1: x(k), x2: x(k), y1: y(mark.error.low), y2: y(mark.error.high) }), svg("circle", { class: "now", cx: x(k), cy: y(mark.error.value ?? 0), r: 5 }))));
  return drawn;
}

// ---- keys -------------------------------------------------------------------------------------------

const KEYS = [["j or ↓", "next sample"], ["k or ↑", "previous sample"], ["Enter", "open it"], ["Esc", "back to all"], ["1", "verdict: label wrong"], ["2", "verdict: fine"],
  ["m", "mark"], ["0", "take the mark away"], ["r", "texts as written, or with formulas"], ["n, p", "next, previous page"], ["t, g, c", "table, grid, charts"], ["/", "search"], ["?", "this list"]];

function help() {
  parts.help.replaceChildren(el("div", { class: "scroll" }, el("div", { class: "keys" }, el("h2", {}, "Keys"), el("dl", {}, KEYS.map(([key, what]) => [el("dt", {}, key), el("dd", {}, what)])),
    el("button", { type: "button", on: { click: () => parts.help.close() } }, "Close"))));
  parts.help.showModal();
}

async function keyed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || parts.dialog.open || parts.help.open) return;
  const typing = event.target.closest && event.target.closest("input:not([type=checkbox]), select, textarea");
  if (typing) { if (event.key === "Escape") event.target.blur(); return; }
  const inSample = state.sample !== null, key = event.key;
  const row = shownRows[current];
  const move = async (by) => {
    if (inSample) return openPlace(by > 0 ? state.found && state.found.next : state.found && state.found.previous);
    if (state.mode === "charts") return null;
    if (current + by >= shownRows.length && shownRows.length === PAGE_ROWS) { current = 0; return go({ start: state.start + PAGE_ROWS }).then(() => select(0)); }
    if (current + by < 0 && state.start) { current = PAGE_ROWS - 1; return go({ start: Math.max(0, state.start - PAGE_ROWS) }).then(() => select(current)); }
    return select(current + by);
  };
  const onRow = async (act) => { // in the list a mark is put on the row that is chosen
    if (!inSample) {
      if (!row || state.mode === "charts" || !source.live) return;
      state.found = { place: row.place, mark: row.values[VERDICT] ? { verdict: row.values[VERDICT], note: "" } : null };
    }
    await act();
  };
  const acts = {
    j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
    Enter: () => (!inSample && row && state.mode !== "charts" && !event.target.closest("button, a, summary") ? open(row) : false),
    Escape: () => (inSample ? back() : null),
    m: () => onRow(() => toggleMark("marked")), 0: () => onRow(() => mark(null, "")),
    r: () => inSample && rewrite(),
    n: () => !inSample && shownRows.length === PAGE_ROWS && go({ start: state.start + PAGE_ROWS }),
    p: () => !inSample && state.start && go({ start: Math.max(0, state.start - PAGE_ROWS) }),
    t: () => go({ mode: "table", sample: null }), g: () => go({ mode: "grid", sample: null }), c: () => go({ mode: "charts", sample: null }),
    "/": () => parts.search.focus(), "?": help,
  };
  for (const [verdictKey, verdict] of VERDICTS) acts[verdictKey] = () => onRow(() => toggleMark(verdict));
  if (!Object.hasOwn(acts, key)) return;
  if ((key === "ArrowDown" || key === "ArrowUp") && inSample) return; // they scroll
  if (acts[key]() !== false) event.preventDefault();
}

const begin = () => during(async () => {
  try {
    run = await source.run();
    byName = new Map(run.columns.map((column) => [column.name, column]));
    frame();
    readAddress();
    addEventListener("popstate", () => { readAddress(); draw(); });
    addEventListener("keydown", keyed);
    await draw();
  } catch (error) {
    app.replaceChildren(el("p", { class: "error" }, error.message));
  }
});

begin();
