// The contrast of each text with what is behind it (WCAG 2.2, 1.4.3): those below 4.5, or 3 where they are
// large. Colours are painted on a canvas to be read, so any notation is understood; of a gradient the
// worst stop counts.
(root) => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const read = (colour) => {
    if (!known.has(colour)) {
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 1, 1);
      const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data;
      known.set(colour, [red, green, blue, alpha / 255]);
    }
    return known.get(colour);
  };
  const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
  const light = (colour) => {
    const [red, green, blue] = colour.map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ratio = (one, other) => {
    const [less, more] = [light(one), light(other)].sort((a, b) => a - b);
    return (more + 0.05) / (less + 0.05);
  };
  const papers = (element) => {
    if (!element) return [[255, 255, 255, 1]];
    const style = getComputedStyle(element);
    const below = papers(element.parentElement);
    const stops = style.backgroundImage.match(/(?:rgba?|color|oklab)\([^)]*\)/g) ?? [style.backgroundColor];
    return stops.flatMap((stop) => below.map((paper) => over(read(stop), paper)));
  };
  const opacity = (one) => one ? Number(getComputedStyle(one).opacity) * opacity(one.parentElement) : 1;
  const seen = (element) => {
    const { width, height } = element.getBoundingClientRect();
    if (!width || !height || element.closest(":disabled, [aria-disabled=true]")) return false;
    return element.checkVisibility({ visibilityProperty: true });
  };
  const bad = [];
  for (const element of root.querySelectorAll("*")) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    const text = texts.map((node) => node.data).join("").trim();
    if (!text || !seen(element)) continue;
    const style = getComputedStyle(element);
    const [red, green, blue, alpha] = read(style.color);
    const ink = [red, green, blue, alpha * opacity(element)];
    const least = Math.min(...papers(element).map((paper) => ratio(over(ink, paper), paper)));
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (least < (large ? 3 : 4.5)) bad.push(`${least.toFixed(2)} ${element.className}: ${text.slice(0, 40)}`);
  }
  return [...new Set(bad)];
}
