// Back and forth between the pages of a list. A page is named by the place behind which it begins, as the server said it.

import { h } from "./dom.js";

/** `turned()` is called after each turn; `after()` is the place of the page that is shown. */
export function pager(turned) {
  const places = [""];
  let next = "";
  const turn = (change) => () => {
    change();
    turned();
  };
  const button = (label, change) =>
    h("button", { type: "button", class: "turn", onclick: turn(change) }, label);
  const first = button("First", () => places.splice(1));
  const back = button("Previous", () => places.pop());
  const forth = button("Next", () => places.push(next));
  const which = h("span", { class: "quiet", role: "status" });
  const node = h("nav", { class: "pager", "aria-label": "Pages", hidden: true }, first, back, which, forth);
  return {
    node,
    after: () => places.at(-1),
    first: turn(() => places.splice(1)),
    show(following) {
      next = following;
      node.hidden = places.length === 1 && !next;
      first.disabled = back.disabled = places.length === 1;
      forth.disabled = !next;
      if (which.textContent !== `Page ${places.length}`) which.textContent = `Page ${places.length}`;
    },
  };
}
