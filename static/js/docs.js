/** Starts Swagger UI on the documentation page, dark where the page is. */
const target = /** @type {HTMLElement} */ (document.getElementById("swagger-ui"));
const root = document.documentElement;

/** Swagger's own dark colours hang on a class of the root. */
function follow() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.classList.toggle("dark-mode", dark);
}

document.addEventListener("look", follow);
follow();
window.SwaggerUIBundle({
  url: target.dataset.openapi,
  domNode: target,
  deepLinking: false, // the page's fragments name problem types
  validatorUrl: null, // the badge would ask another host
});
