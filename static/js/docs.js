/** Starts Swagger UI on the documentation page. */
const target = /** @type {HTMLElement} */ (document.getElementById("swagger-ui"));

/** Swagger's parts in the page's own `<main>`, under a heading: its own layout is a `<main>` with none.
 * @param {any} system */
function within({ React }) {
  const part = (/** @type {any} */ component) => React.createElement(component);
  /** @param {any} props */
  function Page({ getComponent, specSelectors }) {
    const status = specSelectors.loadingStatus();
    if (status !== "success")
      return React.createElement("div", { className: "swagger-ui" }, status && status !== "loading" ? part(getComponent("errors", true)) : null);
    return React.createElement(
      "div",
      { className: "swagger-ui" },
      part(getComponent("SvgAssets")),
      part(getComponent("errors", true)),
      part(getComponent("InfoContainer", true)),
      React.createElement("h2", { className: "visually-hidden" }, "Routes"),
      part(getComponent("operations", true)),
      part(getComponent("Models", true)),
    );
  }
  return { components: { Page } };
}

window.SwaggerUIBundle({
  url: target.dataset.openapi,
  domNode: target,
  plugins: [within],
  layout: "Page",
  deepLinking: false, // the page's fragments name problem types
  validatorUrl: null, // the badge would ask another host
});
