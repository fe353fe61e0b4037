// What the page keeps in the browser: queries, tabs, the theme; headers never, as they may hold tokens.

// GraphiQL's own shouldPersistHeaders covers the tabs alone; its history and favourites would keep headers all the same.
const HOLDS_HEADERS = new Set(["graphiql:queries", "graphiql:favorites", "graphiql:tabState"]);

function withoutHeaders(text) {
  return JSON.stringify(JSON.parse(text, (name, value) => (name === "headers" ? undefined : value)));
}

export const storage = {
  getItem: (key) => localStorage.getItem(key),
  setItem(key, text) {
    if (key === "graphiql:headers") return;
    localStorage.setItem(key, HOLDS_HEADERS.has(key) ? withoutHeaders(text) : text);
  },
  removeItem: (key) => localStorage.removeItem(key),
  clear: () => localStorage.clear(),
  get length() {
    return localStorage.length;
  },
};
