// Before the first paint: light or dark as it was chosen here, else as the system has it.
(() => {
  try {
    const theme = localStorage.getItem("gpt2-edge/theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset["theme"] = theme;
  } catch {
    // No storage: the system's.
  }
})();
