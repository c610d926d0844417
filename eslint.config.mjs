import js from "@eslint/js";
import { defineConfig } from "eslint/config";
import globals from "globals";

export default defineConfig([
  { ignores: ["static/vendor/", ".venv/", ".make/", "build/", "dist/"] },
  {
    files: ["**/*.js", "**/*.mjs"],
    ...js.configs.recommended,
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      ...js.configs.recommended.rules,
      "array-callback-return": "error",
      eqeqeq: "error",
      "no-alert": "off",
      "no-console": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-script-url": "error",
      "no-throw-literal": "error",
      "no-undef": "off", // tsc knows what is defined, and where
      "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
    },
  },
  { files: ["static/js/**"], languageOptions: { globals: globals.browser } },
  { files: ["tools/**", "tests/js/**"], languageOptions: { globals: globals.node }, rules: { "no-console": "off" } },
]);
