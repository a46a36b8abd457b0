select user_id, email, first_name, plan, created_at from users where deleted_at is null
