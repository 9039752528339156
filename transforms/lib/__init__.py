"""Rules as functions of arrays and bytes; nothing here knows Beam."""
