"""The site of the documents: gathered from documents, built by zensical, and checked."""
