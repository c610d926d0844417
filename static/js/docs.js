// Starts Swagger UI on the documentation page; a file of its own because the page's policy forbids inline script.
const target = /** @type {HTMLElement} */ (document.getElementById("swagger-ui"));
window.SwaggerUIBundle({
  url: target.dataset.openapi,
  domNode: target,
  deepLinking: false, // the page's fragments name problem types
  validatorUrl: null, // the badge would ask another host
});
