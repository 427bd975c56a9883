"""What the HTTP resources share, and the resources beside `POST /events`."""
