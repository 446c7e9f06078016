"""The only code of the package that fetches anything from a network, and it runs only when its command is typed."""
