from django.urls import path

from market import views

urlpatterns = [
    path("quote/<sku>/<int:count>", views.quote),
    path("basket/<skus>", views.basket),
]
