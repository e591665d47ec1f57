import js from "@eslint/js";
import { defineConfig } from "eslint/config";
import ts from "typescript-eslint";

export default defineConfig(
  js.configs.recommended,
  {
    files: ["js/**/*.ts"],
    extends: [ts.configs.strictTypeChecked, ts.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      "prefer-const": "error",
      "max-lines": ["error", { max: 400 }],
      "max-lines-per-function": ["error", { max: 60, skipBlankLines: true, skipComments: true }],
      // `noUncheckedIndexedAccess` cannot follow a loop over a typed array: there the "!" is the bound of the loop.
      "@typescript-eslint/no-non-null-assertion": "off",
      // numbers are what we print
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // one-line listeners read better without a block around a call that returns nothing
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
    },
  },
  {
    // a test is one closure of many short facts, and so is a fake kernel
    files: ["js/tests/**/*.ts", "js/playground/**/*.ts"],
    rules: { "max-lines-per-function": "off" },
  },
  { files: ["js/*.mjs"], languageOptions: { globals: { console: "readonly", process: "readonly", URL: "readonly" } } },
);
