/** What pages load by <script> and our modules then find on `window`: as much of it as is used. */

interface Plotly {
  react(box: HTMLElement, data: object[], layout: object, config?: object): Promise<HTMLElement>;
  purge(box: HTMLElement): void;
}

interface Htmx {
  trigger(element: Element, event: string): void;
  process(root: Element): void;
  swap(swap: { text: string; sourceElement: Element; target: Element; swap: string }): Promise<void>;
}

interface Window {
  /** Absent until its deferred script has run. */
  Plotly?: Plotly;
  htmx: Htmx;
  SwaggerUIBundle(options: object): void;
}
