"""Words of attributes in several languages: one CSV file per language."""
