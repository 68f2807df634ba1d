// Shows the description. Whatever would ask another server than this one is off.
Scalar.createApiReference("#app", {
  url: "openapi.json",
  theme: "default",
  withDefaultFonts: false,
  telemetry: false,
  hideClientButton: true,
  showDeveloperTools: "never",
  agent: { disabled: true },
  mcp: { disabled: true },
  proxyUrl: "",
  persistAuth: false,
  defaultOpenAllTags: false,
  hideDownloadButton: false,
});
