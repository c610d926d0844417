// Loaded first and at once, so that the first paint has the chosen theme. Everything else is a module.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const theme = localStorage.getItem("layerscope.theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch {
    // Storage may be forbidden; the system's preference applies then.
  }
})();
