"""Raw files to the sample table and to arrays: a folder a kind of evidence, a record a station."""
