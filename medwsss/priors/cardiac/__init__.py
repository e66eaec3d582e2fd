"""Labels of the heart from a cine study, without any mask: axis, cavity, wall, right ventricle."""
