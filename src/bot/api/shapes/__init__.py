"""Request and answer shapes shared by several resources, so that no resource imports another."""
