"""Pictures with sentences about them."""
