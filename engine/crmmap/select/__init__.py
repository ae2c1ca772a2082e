"""The languages that take values out of what a source sent: JMESPath, and a file's columns."""
