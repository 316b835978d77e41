// What the cases of all clients use: two functions, a schema, a picture, and a look at the daemon's health.
import { z } from "zod";

export const add = {
  name: "add",
  description: "Add two numbers.",
  parameters: z.object({ a: z.number().int(), b: z.number().describe("The second one.") }),
  run: ({ a, b }) => String(a + b),
};

export const weather = {
  name: "weather-in_City2",
  description: "The weather of a city.",
  parameters: z.object({ city: z.string(), unit: z.enum(["C", "F"]).nullable() }),
  run: ({ city, unit }) => `17 ${unit} in ${city}`,
};

// What a stub of the model is told to call, and what comes of it.
export const TWO_CALLS = 'call=add {"a": 40, "b": 2} call=weather-in_City2 {"city": "Zürich", "unit": "C"}';

export const person = z.object({
  name: z.string().describe("The full name."),
  age: z.number().int(),
  languages: z.array(z.enum(["de", "fr"])),
  address: z.object({ city: z.string() }).nullable(),
});
export const ADA = { name: "Ada “L.” Müller", age: 36, languages: ["de", "fr"], address: { city: "Zürich" } };

// One red pixel.
export const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";

// A document of one empty page.
export const PDF = Buffer.from(
  "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n" +
    "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n",
).toString("base64");

// How many milliseconds it takes until so many turns run: after a client has left, its turn is to be stopped.
export async function untilActive(baseURL, count) {
  const begun = performance.now();
  for (;;) {
    const { checks } = await (await fetch(new URL("/health", baseURL))).json();
    if (checks.capacity.active === count) return performance.now() - begun;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
