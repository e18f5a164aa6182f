// Making and changing elements. Text goes in as text and nowhere as markup: names of jobs, agents and owners are
// other people's words.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("a", {href: "#/", class: "x", onclick: f}, "text", child, …)`. null and false are left out. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for parts of a drawing. */
export function s(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Change the text of a node, if it is another one: what did not change keeps its selection. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Change an attribute, or remove it (null), if it is another one. */
export function mark(node, name, value) {
  if (value === null || value === undefined) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** A number that tests and programs can find: `name` says which, `value` is exact, the text is for people. */
export function number(name, attributes = {}) {
  return h("data", { "data-number": name, ...attributes });
}

/** Give such a number its value; null where there is none. */
export function count(node, value, words) {
  mark(node, "value", value ?? "");
  say(node, value === null || value === undefined ? "–" : words(value));
}

const updates = new WeakMap();

/** Make the children of `parent` those of `items`, in order. Children with a known key stay, and are only updated, so
 * focus and open details survive. `make(item)` returns [node, update], and `update(item)` fills the node. */
export function list(parent, items, keyOf, make) {
  const old = new Map();
  for (const node of parent.children) old.set(updates.get(node)?.key, node);
  let place = parent.firstElementChild;
  const seen = new Set();
  for (const item of items) {
    let key = keyOf(item);
    while (seen.has(key)) key += "\0";
    seen.add(key);
    let node = old.get(key);
    if (node === undefined) {
      const [made, update] = make(item);
      node = made;
      updates.set(node, { key, update });
    }
    updates.get(node).update(item);
    old.delete(key);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of old.values()) node.remove();
}

/** A table with a caption for the ear and heads for the columns: [text, class]. Returns the wrapper and the body.
 * `stacked`: where the screen is narrow, each row is a block; roles keep it a table for the ear. */
export function table(caption, heads, { stacked = false } = {}) {
  const body = h("tbody", { role: "rowgroup" });
  const head = h(
    "tr",
    { role: "row" },
    heads.map(([text, cls]) => h("th", { scope: "col", role: "columnheader", class: cls }, text)),
  );
  const made = h(
    "table",
    { role: "table", class: stacked ? "stacked" : null },
    h("caption", { class: "hidden" }, caption),
    h("thead", { role: "rowgroup" }, head),
    body,
  );
  return [h("div", { class: "scroll", role: "group", "aria-label": caption, tabindex: "0" }, made), body];
}

/** A row whose first cell names it. Cells are [label, attributes, …children]; the label shows where rows are blocks. */
export function row(attributes, first, ...cells) {
  return h(
    "tr",
    { role: "row", ...attributes },
    h("th", { scope: "row", role: "rowheader" }, first),
    cells
      .filter(Boolean)
      .map(([label, more, ...children]) =>
        h("td", { role: "cell", "data-label": label, ...more }, ...children),
      ),
  );
}

/** A card with a heading. `aside` stands at the right of the heading. */
export function card(id, title, { cls = "", aside = null } = {}, ...children) {
  return h(
    "section",
    { class: `card ${cls}`, "aria-labelledby": id },
    h("div", { class: "card-head" }, h("h2", { id }, title), aside),
    ...children,
  );
}
