/** What a cold page's own response brings after its scripts have started: words that took longer. */

/** Hands each piece of HTML on as soon as it is whole. @param {HTMLElement} root @param {(html: string) => void} take */
export function late(root, take) {
  const look = () => {
    for (const template of root.querySelectorAll("template")) {
      if (!template.nextElementSibling) continue;
      take(template.innerHTML);
      template.remove();
    }
  };
  new MutationObserver(look).observe(root, { childList: true });
  look();
}
