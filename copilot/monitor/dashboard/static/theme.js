// Before anything is drawn: the theme that was chosen here, if the browser lets us remember. Without one, the system's.
(() => {
  const KEY = "copilot-theme";
  const root = document.documentElement;
  const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
  const set = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  };
  try {
    set(localStorage.getItem(KEY));
  } catch {
    // storage is forbidden: the choice lasts as long as the page
  }
  globalThis.turnTheme = () => {
    set((root.dataset.theme ?? (dark() ? "dark" : "light")) === "dark" ? "light" : "dark");
    try {
      localStorage.setItem(KEY, root.dataset.theme);
    } catch {
      // as above
    }
    return root.dataset.theme;
  };
})();
