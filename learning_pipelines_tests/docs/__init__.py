"""Tests of the pages in docs/, the README of operating the project: every command and snippet on them is run, or says on the page why not."""
