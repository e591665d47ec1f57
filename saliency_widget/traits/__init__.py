"""The traits of the widget, and the controls of a method's fields."""
