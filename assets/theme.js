// Before the first paint: light or dark, as the system says. The cookie tells the server which colours a figure needs.
(function () {
  var dark = matchMedia("(prefers-color-scheme: dark)");
  function apply() {
    var theme = dark.matches ? "dark" : "light";
    document.documentElement.dataset.theme = theme;
    document.cookie = "theme=" + theme + "; path=/; SameSite=Lax; max-age=31536000";
  }
  apply();
  dark.addEventListener("change", apply);
})();
