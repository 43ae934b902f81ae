import { t } from "./texts.js";
import { round } from "./ui.js";

const SVG = "http://www.w3.org/2000/svg", WIDTH = 320, HEIGHT = 170, LEFT = 50, BOTTOM = 22, TOP = 12, RIGHT = 8;

function element(tag, properties, text) {
  const one = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) one.setAttribute(name, value);
  if (text !== undefined) one.textContent = text;
  return one;
}

// A curve of [step, value] points as an SVG image with a description.
export function chart(name, points) {
  const steps = points.map((point) => point[0]), values = points.map((point) => point[1]);
  const [x0, x1] = [Math.min(...steps), Math.max(...steps)];
  let [y0, y1] = [Math.min(...values), Math.max(...values)];
  if (y0 === y1) [y0, y1] = [y0 - Math.abs(y0) / 10 - 1e-6, y1 + Math.abs(y1) / 10 + 1e-6];
  const x = (step) => LEFT + (x1 === x0 ? 0.5 : (step - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (value - y0) / (y1 - y0) * (HEIGHT - BOTTOM - TOP);
  const last = points[points.length - 1];
  const image = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": t("chart", name, points.length, round(last[1]), last[0]) });
  for (const value of [y0, (y0 + y1) / 2, y1]) {
    image.append(element("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }), element("text", { x: LEFT - 4, y: y(value) + 4, "text-anchor": "end" }, round(value)));
  }
  image.append(element("text", { x: LEFT, y: HEIGHT - 6 }, x0), element("text", { x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, `${t("step")} ${x1}`));
  image.append(element("path", { d: points.map((point, index) => `${index ? "L" : "M"}${x(point[0]).toFixed(1)} ${y(point[1]).toFixed(1)}`).join("") }));
  if (points.length === 1) image.append(element("circle", { cx: x(last[0]), cy: y(last[1]), r: 3 }));
  return image;
}
