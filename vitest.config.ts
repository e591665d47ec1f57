import { defineConfig } from "vitest/config";

export default defineConfig({
  define: { SHARED: "undefined" },
  test: {
    include: ["js/tests/**/*.test.ts"],
    environment: "happy-dom",
    restoreMocks: true,
    unstubGlobals: true,
  },
});
